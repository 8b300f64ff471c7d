r"""Two methods on the same clips: their difference, and how sure it is.

The bootstrap (Efron 1979) takes as many clips as there are, with replacement, and scores both
methods on them: the same clips for both, since some are hard for every method. The interval is the
middle 95 % of the differences of many such draws (percentile method). Clips are drawn and not
frames: those of a clip look alike, and would make the interval too narrow.

Sums over the drawn clips are products of a matrix of counts, (draws, clips), with the clips' own
sums. All are whole numbers below 2^53, so that double precision has them exactly.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from ..evaluation.set_scores import object_scores, score_row, with_mean
from ..evaluation.streaming import Counts
from .frames import FOREGROUND
from .summary import subset_row, subsets
from .whole_set import ClipCounts

#: Part of the draws that the interval holds.
LEVEL = 0.95
#: Draws that are summed up together, which bounds the memory.
_CHUNK = 500


@dataclass(frozen=True)
class Difference:
    """One score of two methods, in percent.

    Attributes:
        protocol: 'dataset', 'avsbench' or 'foreground'.
        subset: 'total' or the name of a subset.
        score: Such as 'mIoU'.
        clips: Clips that it is over.
        first: Score of the first method, A.
        second: Score of the second, B.
        low: Lower end of the interval of B - A.
        high: Upper end.
    """

    protocol: str
    subset: str
    score: str
    clips: int
    first: float
    second: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """B - A."""
        return self.second - self.first


def compare(
    first: Sequence[ClipCounts],
    second: Sequence[ClipCounts],
    protocols: Sequence[str],
    *,
    draws: int = 2000,
    seed: int = 0,
) -> list[Difference]:
    """Differences B - A of all scores, with intervals; of the set and subsets of several clips.

    Args:
        first: Clips of A, in the order of the set.
        second: The same clips of B.
        protocols: Of 'dataset', 'avsbench' and 'foreground'.
        draws: Times that clips are drawn.
        seed: Of the draws.

    Raises:
        UserError: There is one clip alone.
    """
    assert [clip.name for clip in first] == [clip.name for clip in second]
    if len(first) < 2:
        raise UserError(
            "an interval over clips needs two clips at least, and the truth has one. Frames of "
            "plain folders are told apart into clips by their folders or, without any, by what "
            "stands before _NUMBER in their names"
        )
    found = []
    others = subsets(second)
    for name, ours in subsets(first).items():
        if len(ours) < 2:
            continue  # no interval
        theirs = others[name]
        # Every subset has the draws that it would have alone.
        rng = np.random.default_rng(seed)
        drawn = rng.integers(len(ours), size=(draws, len(ours)))
        for protocol in protocols:
            a, b = (subset_row(protocol, name, clips).scores for clips in (ours, theirs))
            gaps = _draw_scores(protocol, theirs, drawn) - _draw_scores(protocol, ours, drawn)
            ends = np.quantile(gaps, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
            found += [
                Difference(protocol, name, score, len(ours), a[score], b[score], low, high)
                for score, low, high in zip(a, *ends.tolist(), strict=True)
            ]
    return found


def _draw_scores(
    protocol: str, clips: Sequence[ClipCounts], drawn: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Scores of each draw, (draws, scores), in percent.

    Args:
        protocol: One of the three.
        clips: N clips.
        drawn: Their places, (draws, N).
    """
    if protocol == FOREGROUND:
        values = np.array(
            [list(with_mean(object_scores(clip.foreground)).values()) for clip in clips]
        )
        return 100 * np.stack([values[places].mean(0) for places in drawn])
    scores = [
        list(score_row(protocol, "", counts, len(clips)).scores.values())
        for counts in _drawn_counts([clip.counts for clip in clips], drawn)
    ]
    return np.array(scores)


def _drawn_counts(counts: Sequence[Counts], drawn: NDArray[np.int64]) -> Iterator[Counts]:
    """Sum of the clips of each draw."""
    shapes = {key: np.shape(value) for key, value in counts[0].items()}
    flat = {key: np.array([np.ravel(one[key]) for one in counts], float) for key in shapes}
    for start in range(0, len(drawn), _CHUNK):
        part = drawn[start : start + _CHUNK]
        times = np.stack([np.bincount(places, minlength=len(counts)) for places in part])
        sums = {
            key: (times.astype(float) @ values).astype(np.int64) for key, values in flat.items()
        }
        for draw in range(len(part)):
            yield {key: sums[key][draw].reshape(shape)[()] for key, shape in shapes.items()}
