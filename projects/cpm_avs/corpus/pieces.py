"""Long videos cut into pieces that different workers do, at the same times whoever does it."""

from dataclasses import dataclass, field, replace
from math import floor

import pyarrow as pa

from ..inference.timeline import Run
from .manifest import Video


@dataclass(frozen=True)
class Piece:
    """Part of a video, or all of it.

    Attributes:
        video: Whose.
        index: From 0.
        count: Pieces of the video; 0 as long as nobody has opened it.
        start: Second.
        end: Second; infinite as long as nobody has opened it.
    """

    video: Video
    index: int = 0
    count: int = 0
    start: float = 0.0
    end: float = float("inf")


@dataclass(frozen=True)
class Finding:
    """What was found in a piece; the report of a video is joined from these.

    Attributes:
        piece: Which.
        duration: Of the video, seconds.
        frames: That were segmented.
        first_shown: Second at which the first of them appears; None without a frame.
        runs: Of each class.
        error: Why the piece, or the video, can't be used.
        masks: A row per frame and object, see ``schemas.MASKS``.
    """

    piece: Piece
    duration: float = 0.0
    frames: int = 0
    first_shown: float | None = None
    runs: list[Run] = field(default_factory=list)
    error: str | None = None
    masks: pa.Table | None = field(default=None, compare=False)

    def without_masks(self) -> "Finding":
        """What a video's report needs of it."""
        return replace(self, masks=None)


def cut(video: Video, duration: float, seconds: float, fps: float | None) -> list[Piece]:
    """Pieces of some length, in the grid of frames that are segmented; the last takes the rest.

    Args:
        video: To cut.
        duration: Its length, seconds.
        seconds: Of a piece; the last has half to one and a half of it.
        fps: Frames that are segmented in a second; None: all.
    """
    if fps is not None:
        seconds = max(1, floor(seconds * fps + 0.5)) / fps
    count = max(1, round(duration / seconds))
    ends = [*(seconds * index for index in range(1, count)), duration]
    starts = [0.0, *ends[:-1]]
    return [
        Piece(video, index, count, start, end)
        for index, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]
