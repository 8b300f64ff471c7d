"""The run itself: pieces go to a crew, what it finds to the shards, until every video is whole."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from .crews import Crew
from .joining import join
from .manifest import Video
from .pieces import Finding, Piece
from .progress import Tally
from .shards import Shards

_MOST_HELD = 64 << 20  # bytes of masks in memory, from which on they are written


class Ledger:
    """What is found and not written yet, and the pieces of videos that are not whole yet.

    Args:
        shards: Where it goes.
        tally: Counts the videos.
        every: Seconds after which what is held is written: what a kill of this process loses.
    """

    def __init__(self, shards: Shards, tally: Tally, *, every: float) -> None:
        self._shards, self._tally, self._every = shards, tally, every
        self._begun: dict[int, dict[int, Finding]] = {}  # by video and piece
        self._held: list[Finding] = []
        self._rows: list[dict[str, Any]] = []
        self._size = 0
        self._written = time.monotonic()

    def recall(self, findings: Iterable[Finding]) -> set[int]:
        """Take up what earlier runs wrote, and write the reports that a kill kept from it.

        Returns:
            Keys of the videos that are whole.
        """
        reported = set(self._shards.videos())
        whole = set()
        for finding in findings:
            parts = self._note(finding)
            if parts is not None:
                whole.add(finding.piece.video.key)
                if finding.piece.video.name not in reported:
                    self._rows.append(join(parts))
        self.write()
        return whole

    def add(self, finding: Finding) -> None:
        """Take what was found in a piece."""
        self._held.append(finding)
        self._size += finding.masks.nbytes if finding.masks is not None else 0
        parts = self._note(finding)
        if parts is not None:
            row = join(parts)
            self._rows.append(row)
            self._tally.add(row)
        if self._size > _MOST_HELD or time.monotonic() - self._written > self._every:
            self.write()

    def has(self, piece: Piece) -> bool:
        """Whether it is done, of a video that is not whole yet."""
        return piece.index in self._begun.get(piece.video.key, {})

    def write(self) -> None:
        """Bring what is held to the disk; what can't be written is done again some day."""
        held, rows = self._held, self._rows
        self._held, self._rows, self._size = [], [], 0
        if held or rows:
            self._shards.write(held, rows)
        self._written = time.monotonic()

    def _note(self, finding: Finding) -> list[Finding] | None:
        """Keep a piece, without its masks; all pieces of the video with the last one."""
        key = finding.piece.video.key
        parts = self._begun.setdefault(key, {})
        parts[finding.piece.index] = finding.without_masks()
        return [*self._begun.pop(key).values()] if len(parts) == finding.piece.count else None


def take_stock(
    videos: Sequence[Video], shards: Shards, tally: Tally, *, every: float, retry_failed: bool
) -> tuple[Ledger, list[Video]]:
    """What earlier runs did, and what is left; what they wrote of files that have changed goes.

    Args:
        videos: Those of the manifest, as they are now.
        shards: What earlier runs wrote.
        tally: Counts what is done.
        every: Seconds between two shards.
        retry_failed: Whether videos with an error are tried again.

    Returns:
        Where findings go, and the videos that are not whole.
    """
    now = {video.name: video.key for video in videos}
    shards.forget(
        {
            video.name
            for finding in shards.findings()
            for video in [finding.piece.video]
            if now.get(video.name, video.key) != video.key
            or (retry_failed and finding.error is not None and video.name in now)
        }
    )
    ledger = Ledger(shards, tally, every=every)
    whole = ledger.recall(shards.findings())
    left = [video for video in videos if video.key not in whole]
    tally.before = len(videos) - len(left)
    return ledger, left


def work(left: Iterable[Video], ledger: Ledger, crew: Crew, *, show: Callable[[], None]) -> None:
    """Do what is left: a piece is handed over when a worker has room for it, and not before.

    Args:
        left: Videos that are not whole.
        ledger: Where findings go.
        crew: Who finds.
        show: Called when something may have changed.
    """
    unopened = map(Piece, left)
    waiting: deque[Piece] = deque()  # those of long videos first: few are begun at a time
    try:
        while True:
            waiting.extend(islice(unopened, 0 if waiting else 1))
            if waiting and crew.has_room():
                crew.start(waiting.popleft())
                continue
            if not waiting and crew.is_idle():
                break
            for outcome in crew.finished():
                if isinstance(outcome, Finding):
                    ledger.add(outcome)
                else:
                    left_of_it = [piece for piece in outcome if not ledger.has(piece)]
                    waiting.extendleft(reversed(left_of_it))
            show()
    except BaseException:
        with suppress(OSError):  # the disk may be what is wrong
            ledger.write()
        raise
    ledger.write()
