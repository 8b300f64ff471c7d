"""What the user is told when a tool ends early: one sentence where their input is at fault."""

import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..safe_checkpoint import CheckpointError
from ..structures import BadSampleError

PACKAGE = Path(__file__).parents[1]


@contextmanager
def plain_errors() -> Iterator[None]:
    """End with the message alone where what the user gave is at fault, which the message names."""
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None  # as shells count it: 128 and the signal's number
    except (ValueError, OSError) as error:
        if not _is_about_input(error):
            raise
        # Of an error in a DataLoader's worker torch makes the message the whole traceback.
        message = str(error).rpartition(f"{type(error).__name__}: ")[2].rstrip()
        raise SystemExit(f"error: {message}") from error


def _is_about_input(error: ValueError | OSError) -> bool:
    """Whether the message says what was given and what to do; from below, as torch, none does.

    The project's own ``raise ValueError`` does, wherever it stands (CONTRIBUTING.md, rule 11).
    """
    if isinstance(error, (CheckpointError, BadSampleError, FileNotFoundError)):
        return True
    if isinstance(error, OSError):
        return error.filename is not None
    # Of an error in a worker only the text tells where it came from.
    told = "".join(traceback.format_exception(error))
    file, line = re.findall(r'File "(.*)", line \d+, in .*\n *(.*)', told)[-1]
    return Path(file).is_relative_to(PACKAGE) and line.startswith("raise ")
