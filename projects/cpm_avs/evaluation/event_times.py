"""When sounds begin and end: errors of the stretches of time in which classes were found.

Stretches of the same class that overlap are paired, so that they overlap for as long as possible
altogether. A pair has an error of its onset and one of its offset, |found - true| in seconds; where
the truth begins with the clip, or ends with it, that is no onset and no offset.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

_EDGE = 1e-6  # seconds; times are sums of shares of a second


@dataclass(frozen=True)
class Stretch:
    """A stretch of time in which a class sounds.

    Attributes:
        label: Of the class.
        start: Second.
        end: Second.
    """

    label: int
    start: float
    end: float


@dataclass(frozen=True)
class EventErrors:
    """How far the times that were found are from the true ones.

    Attributes:
        onsets: An error of each true onset that was found, seconds.
        offsets: As ``onsets``.
        missed: True stretches without a partner.
        false: Found stretches without one.
    """

    onsets: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    missed: int = 0
    false: int = 0

    def __add__(self, other: "EventErrors") -> "EventErrors":
        return EventErrors(
            self.onsets + other.onsets,
            self.offsets + other.offsets,
            self.missed + other.missed,
            self.false + other.false,
        )


def event_errors(true: Sequence[Stretch], found: Sequence[Stretch], duration: float) -> EventErrors:
    """Errors of one clip.

    Args:
        true: What sounds when.
        found: What is said to.
        duration: Of the clip, seconds.
    """
    pairs = _pairs(true, found)
    onsets = [abs(f.start - t.start) for t, f in pairs if t.start > _EDGE]
    offsets = [abs(f.end - t.end) for t, f in pairs if t.end < duration - _EDGE]
    return EventErrors(
        tuple(onsets), tuple(offsets), len(true) - len(pairs), len(found) - len(pairs)
    )


def _pairs(true: Sequence[Stretch], found: Sequence[Stretch]) -> list[tuple[Stretch, Stretch]]:
    overlap = np.array([[_overlap(t, f) for f in found] for t in true]).reshape(
        len(true), len(found)
    )
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    return [
        (true[row], found[column])
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if overlap[row, column] > 0
    ]


def _overlap(one: Stretch, other: Stretch) -> float:
    if one.label != other.label:
        return 0.0
    return max(0.0, min(one.end, other.end) - max(one.start, other.start))
