"""How far a run is: videos a second, time left, failures; on a screen or in a log."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.live import Live

_EVERY = 30.0  # seconds between two lines where there is no screen
_REASONS = 3  # most frequent errors in the summary


@dataclass
class Tally:
    """What is done, and what there is to do.

    Attributes:
        total: Videos of the manifest.
        before: Of these, those that earlier runs did.
        done: Those that this run did, failures included.
        failed: Of these, those with an error.
        frames: That this run segmented.
        seconds: Of video that this run did.
        reasons: How often what was wrong, without the file's name.
        began: By ``time.monotonic``.
    """

    total: int
    before: int = 0
    done: int = 0
    failed: int = 0
    frames: int = 0
    seconds: float = 0.0
    reasons: Counter = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        """Begin to count time, once the models are loaded."""
        self.began = time.monotonic()

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a video by its row, see ``schemas.VIDEOS``."""
        self.done, self.frames = self.done + 1, self.frames + row["frames"]
        self.seconds += row["duration"]
        if row["error"] is not None:
            self.failed += 1
            self.reasons[row["error"].replace(row["path"], "FILE")] += 1

    def line(self) -> str:
        """Such as '120/1000 videos, 3 failed, 2.1 videos/s, 7:01 left'."""
        spent = time.monotonic() - self.began
        left = self.total - self.before - self.done
        rate = self.done / spent if spent > 0 else 0.0
        parts = [f"{self.before + self.done}/{self.total} videos"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        parts.append(f"{rate:.2f} videos/s")
        if left and self.done:
            parts.append(f"{clock(left / rate)} left")
        return ", ".join(parts)

    def summary(self) -> str:
        """What came of it, in a few lines."""
        spent = max(time.monotonic() - self.began, 1e-9)
        lines = []
        if self.done or not self.before:
            lines = [
                f"{self.done} videos ({self.seconds:.0f} s, {self.frames} frames) in "
                f"{clock(spent)}: {self.done / spent:.2f} videos/s, "
                f"{self.seconds / spent:.1f} times real time"
            ]
        if self.before:
            lines.append(f"{self.before} were done before")
        if self.failed:
            lines.append(f"{self.failed} failed, which the column `error` says of each:")
            lines += [f"  {count} x {text}" for text, count in self.reasons.most_common(_REASONS)]
        return "\n".join(lines)


class Screen:
    """Shows a tally: one line that changes on a screen, one now and then in a log.

    Args:
        console: Where.
        tally: What.
    """

    def __init__(self, console: Console, tally: Tally) -> None:
        self._console, self._tally = console, tally
        self._live = Live(console=console, transient=True) if console.is_terminal else None
        self._said = time.monotonic()

    def __enter__(self) -> "Screen":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self) -> None:
        """Bring it up to date."""
        if self._live is not None:
            self._live.update(self._tally.line())
        elif time.monotonic() - self._said >= _EVERY:
            self._said = time.monotonic()
            self._console.print(self._tally.line(), soft_wrap=True, highlight=False)


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
