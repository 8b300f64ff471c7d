"""Frames of a clip whose masks are still to come: those of a batch, and those shown in between."""

from collections.abc import Iterator, Sequence

from ..media.audio_functional import Waveform
from ..media.video_io import Frame
from .results import FrameResult


class WaitingFrames:
    """Holds frames in their order until the batch that they belong to is predicted.

    Attributes:
        batch: Frames that are to be predicted.
        sounds: A window of sound (A, L) for each of them.
    """

    def __init__(self) -> None:
        self.batch: list[Frame] = []
        self.sounds: list[Waveform] = []
        self._shown: list[tuple[Frame, int]] = []  # with the place in `batch` of whose masks it has
        self._last: FrameResult | None = None

    def __len__(self) -> int:
        return len(self._shown)

    def add(self, frame: Frame, window: Waveform | None) -> None:
        """Take the next frame; without a window of sound it shows the masks of the one before."""
        if window is not None:
            self.batch.append(frame)
            self.sounds.append(window)
        self._shown.append((frame, len(self.batch) - 1))

    def leave_with(self, results: Sequence[FrameResult]) -> Iterator[tuple[Frame, FrameResult]]:
        """All frames with their masks, given those of the batch; nothing waits any more."""
        shown, self._shown, self.batch, self.sounds = self._shown, [], [], []
        for frame, place in shown:
            self._last = results[place] if place >= 0 else self._last
            assert self._last is not None  # the first frame of a clip is always predicted
            yield frame, self._last
