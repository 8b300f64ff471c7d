"""Gradio, imported without the stubs for editors that it writes beside its modules each time."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_stubs() -> Iterator[None]:
    """Have Gradio find no file of its components: for what has none it writes no stubs.

    They take half of the time of its import, and two programs that start at once would write the
    same files.
    """
    getfile = inspect.getfile

    def of_others(object: Any) -> str:
        if isinstance(object, type) and object.__module__.startswith("gradio."):
            raise OSError(f"{object} shall have no stubs")
        return getfile(object)

    inspect.getfile = of_others
    try:
        yield
    finally:
        inspect.getfile = getfile


with without_stubs():
    import gradio as gr

__all__ = ["gr", "without_stubs"]
