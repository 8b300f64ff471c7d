"""What the user is told when a tool ends early: one sentence where their input is at fault."""

import dis
import errno
import io
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import UserError

INTERRUPTED = 128 + signal.SIGINT  # as shells count it
_PIPE_CLOSED = 128 + 13  # as shells say that SIGPIPE ended a program
PACKAGE = Path(__file__).parents[1]
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a write that fails names no file
# Of an error in a DataLoader's worker torch keeps the class and no attribute; these name a path.
_ABOUT_A_PATH = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


@contextmanager
def plain_errors() -> Iterator[None]:
    """End with the message alone where what the user gave is at fault, which the message names."""
    for stream in (sys.stdout, sys.stderr):  # a terminal may lack letters that a file's name has
        with suppress(OSError):  # a file in whose place a pipe was put can't tell where it is
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:  # of `| head`, which has seen enough
        with suppress(OSError):  # else the interpreter complains when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(_PIPE_CLOSED) from None
    except (MemoryError, RuntimeError) as error:
        told = _about_memory(error)
        if told is None:
            raise
        raise SystemExit(f"error: {told}") from error
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


def _about_memory(error: MemoryError | RuntimeError) -> str | None:
    """What to do where the machine has too little memory; None of another error."""
    words = " ".join(str(error).split())
    first = words.split(". ")[0].rstrip(".")
    if isinstance(error, MemoryError):
        return f"out of memory ({words or 'of the machine'}); give smaller batches or files"
    asked = re.search(r"DefaultCPUAllocator: .*(tried to allocate \d+ bytes)", words)
    if asked:
        first = f"out of memory ({asked[1]})"
    if asked or type(error).__name__ == "OutOfMemoryError":  # torch's
        return (
            f"{first}; give smaller batches (train_dataloader.batch_size, or --batch-size) or "
            "pictures"
        )
    if re.match(r"DataLoader worker .*(killed|exited|bus error)", words, re.IGNORECASE):
        return (
            f"{first}: mostly the machine, or a container's /dev/shm, has too little memory; give "
            "a smaller train_dataloader.num_workers or batch_size. Training goes on from its last "
            "checkpoint with --resume"
        )
    return None


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
