"""What a segmented clip gives: objects per frame, and what sounds when.

Shorthand: H W size of the frame.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

_FLICKER = 0.15  # seconds: a class gone for no longer was there all the time
_SHORTEST = 0.25  # seconds: what lasts less is a slip
_PAUSE = 0.5  # seconds: a sound that pauses for no longer is still the same one
_SMALLEST = 0.001  # share of the frame below which a class does not count as sounding


def fit_class_map(class_map: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """A class map at (height, width), without inventing labels between two."""
    if class_map.shape == size:
        return class_map
    resized = cv2.resize(class_map, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized, np.uint8)


@dataclass(frozen=True)
class SoundingObject:
    """Everything in a frame that belongs to one sounding class.

    Attributes:
        name: Of the class.
        label: Of the class.
        score: Mean score of its pixels, in [0, 1].
        area: Share of the frame, in [0, 1].
        class_map: Of the whole frame, (H, W) uint8.
    """

    name: str
    label: int
    score: float
    area: float
    class_map: NDArray[np.uint8] = field(repr=False)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W), True where the object is."""
        return self.class_map == self.label


@dataclass(frozen=True)
class FrameResult:
    """One segmented frame.

    Attributes:
        time: Seconds from the clip's first frame.
        class_map: (H, W) uint8, 0 is the background.
        scores: Mean score of each label that occurs, background left out.
        classes: Names by label.
    """

    time: float
    class_map: NDArray[np.uint8] = field(repr=False)
    scores: Mapping[int, float]
    classes: Sequence[str] = field(repr=False)

    @cached_property
    def objects(self) -> list[SoundingObject]:
        """The sounding objects, the largest first."""
        counts = np.bincount(self.class_map.ravel(), minlength=len(self.classes))
        found = [
            SoundingObject(
                name=self.classes[label],
                label=label,
                score=score,
                area=float(counts[label]) / self.class_map.size,
                class_map=self.class_map,
            )
            for label, score in self.scores.items()
        ]
        return sorted(found, key=lambda one: -one.area)


@dataclass(frozen=True)
class Segment:
    """A stretch of time in which a class sounds.

    Attributes:
        name: Of the class.
        label: Of the class.
        start: Second.
        end: Second.
        score: Mean over its frames.
    """

    name: str
    label: int
    start: float
    end: float
    score: float

    def __str__(self) -> str:
        if self.end <= self.start:  # of an image there is only one moment
            return self.name
        return f"{self.name} {self.start:.1f}-{self.end:.1f} s"


@dataclass(frozen=True)
class ClipResult:
    """One segmented clip.

    Attributes:
        name: Of the source.
        duration: Seconds that were segmented.
        num_frames: Frames of the source that were shown, predicted or held.
        frames: The predicted frames; empty where they were not kept.
        segments: What sounds when.
        files: What was written: 'overlay', 'masks', 'report', 'figure'.
    """

    name: str
    duration: float
    num_frames: int
    frames: list[FrameResult] = field(repr=False)
    segments: list[Segment]
    files: dict[str, Path]

    def summary(self) -> str:
        """One line such as 'dog 0.0-4.8 s, drum 2.1-9.9 s'."""
        return ", ".join(map(str, self.segments)) or "no object sounds"


class Timeline:
    """Gathers what sounds when, frame by frame; keeps stretches, not frames.

    A class may flicker from frame to frame: shortest gaps are closed, what then is still too short
    is dropped, and what remains is joined over pauses.

    Args:
        length: Seconds to come; a clip shorter than the shortest stretch still has one.
    """

    def __init__(self, length: float) -> None:
        self._shortest = min(_SHORTEST, length / 2)
        self._open: dict[int, _Stretch] = {}
        self._closed: dict[int, list[_Stretch]] = {}
        self._last: FrameResult | None = None
        self._shown = 0.0

    def add(self, frame: FrameResult, shown: float) -> None:
        """Take the next predicted frame, shown from a second on until the next one is."""
        self._extend(shown)
        self._last, self._shown = frame, shown

    def finish(self, end: float) -> list[Segment]:
        """The stretches in the order in which they begin.

        Args:
            end: When the last frame ends, seconds.
        """
        self._extend(end)
        for stretch in self._open.values():
            self._close(stretch)
        found = [one for stretches in self._closed.values() for one in stretches]
        return [one.segment() for one in sorted(found, key=lambda one: (one.start, one.label))]

    def _extend(self, until: float) -> None:
        if self._last is None:
            return
        for found in self._last.objects:
            if found.area < _SMALLEST:
                continue
            stretch = self._open.get(found.label)
            if stretch is not None and self._shown - stretch.end > _FLICKER:
                self._close(stretch)
                stretch = None
            if stretch is None:
                stretch = _Stretch(found.name, found.label, self._shown)
                self._open[found.label] = stretch
            stretch.end = until
            stretch.total += found.score
            stretch.count += 1

    def _close(self, stretch: "_Stretch") -> None:
        if stretch.end - stretch.start < self._shortest:
            return
        earlier = self._closed.setdefault(stretch.label, [])
        if earlier and stretch.start - earlier[-1].end <= _PAUSE:
            earlier[-1].end = stretch.end
            earlier[-1].total += stretch.total
            earlier[-1].count += stretch.count
        else:
            earlier.append(stretch)


@dataclass
class _Stretch:
    name: str
    label: int
    start: float
    end: float = 0.0
    total: float = 0.0
    count: int = 0

    def segment(self) -> Segment:
        return Segment(self.name, self.label, self.start, self.end, self.total / self.count)
