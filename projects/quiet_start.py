"""Ctrl-C while a tool still imports its packages, which takes seconds: a line and no traceback.

The tools import this before anything else. It lies outside of ``cpm_avs``, whose own import is one
of the slow ones.
"""

import os
import signal
import sys
from pathlib import Path

INTERRUPTED = 130  # as shells count it: 128 and the signal's number


def raise_interrupts() -> None:
    """Have Python raise ``KeyboardInterrupt`` again: from here on there is something to tidy up."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(*_: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


def _runs_a_tool() -> bool:
    started = getattr(sys.modules["__main__"], "__file__", None)
    return started is not None and Path(started).resolve().parent == _TOOLS


_TOOLS = Path(__file__).resolve().parents[1] / "tools"
# Jobs in the background ignore it, and go on doing so.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler and _runs_a_tool():
    signal.signal(signal.SIGINT, _end)
