"""When Python looks for garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_garbage() -> Iterator[None]:
    """For imports: what they make stays, and neither now nor later is it looked through in vain.

    Other objects that are there at the end are not looked through any more, either: of those, what
    is no longer used is freed all the same, but for rings that hold themselves.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if before:
            gc.enable()
