"""What the user is told when a tool ends early: one sentence where their input is at fault."""

import dis
import errno
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..structures import UserError

INTERRUPTED = 128 + signal.SIGINT  # as shells count it
PACKAGE = Path(__file__).parents[1]
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a write that fails names no file
# Of an error in a DataLoader's worker torch keeps the class and no attribute; these name a path.
_ABOUT_A_PATH = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


@contextmanager
def plain_errors() -> Iterator[None]:
    """End with the message alone where what the user gave is at fault, which the message names."""
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and error.filename is None and error.errno in _NO_SPACE:
            raise SystemExit(
                f"error: {error.strerror}: make room where logs and results go; training goes on "
                "from its last checkpoint with --resume"
            ) from error
        if not _is_about_input(error):
            raise
        # Of an error in a DataLoader's worker torch makes the message the whole traceback.
        message = str(error).rpartition(f"{type(error).__name__}: ")[2].rstrip()
        raise SystemExit(f"error: {message}") from error


def _is_about_input(error: ValueError | OSError) -> bool:
    """Whether the message says what was given and what to do; from below, as torch, none does.

    The project's own ``raise ValueError`` does, wherever it stands (CONTRIBUTING.md, rule 11).
    """
    if isinstance(error, OSError):
        return error.filename is not None or isinstance(error, _ABOUT_A_PATH)
    return isinstance(error, UserError) or raised_by_the_project(error)


def raised_by_the_project(error: Exception) -> bool:
    """Whether a ``raise`` of the project began it, and no call that the project made."""
    origin = error.__traceback__
    while origin is not None and origin.tb_next is not None:
        origin = origin.tb_next
    assert origin is not None  # it was caught
    code = origin.tb_frame.f_code
    raising = code.co_code[origin.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return (
        isinstance(error, ValueError) and raising and Path(code.co_filename).is_relative_to(PACKAGE)
    )
