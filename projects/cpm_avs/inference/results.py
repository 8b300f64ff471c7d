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


def fit_class_map(class_map: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """A class map at (height, width), without inventing labels between two."""
    if class_map.shape == size:
        return class_map
    resized = cv2.resize(class_map, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized, np.uint8)


def known_objects(classes: Sequence[str]) -> str:
    """What a model can name, as in 'cat, dog'; '' where it says only that something sounds.

    Args:
        classes: Names by label, the background first.
    """
    return ", ".join(classes[1:]) if len(classes) > 2 else ""


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
        areas: Share of the frame of each label of ``scores``; None has them counted when asked.
    """

    time: float
    class_map: NDArray[np.uint8] = field(repr=False)
    scores: Mapping[int, float]
    classes: Sequence[str] = field(repr=False)
    areas: Mapping[int, float] | None = field(default=None, repr=False)

    @cached_property
    def objects(self) -> list[SoundingObject]:
        """The sounding objects, the largest first."""
        areas = self._counted() if self.areas is None else self.areas
        found = [
            SoundingObject(
                name=self.classes[label],
                label=label,
                score=score,
                area=areas[label],
                class_map=self.class_map,
            )
            for label, score in self.scores.items()
        ]
        return sorted(found, key=lambda one: -one.area)

    def _counted(self) -> dict[int, float]:
        counts = np.bincount(self.class_map.ravel(), minlength=len(self.classes))
        return {label: float(counts[label]) / self.class_map.size for label in self.scores}


@dataclass(frozen=True)
class Segment:
    """A stretch of time in which a class sounds.

    Attributes:
        name: Of the class.
        label: Of the class.
        start: Second.
        end: Second.
        score: Mean over its frames.
        area: Mean share of the frame, in [0, 1].
    """

    name: str
    label: int
    start: float
    end: float
    score: float
    area: float

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
