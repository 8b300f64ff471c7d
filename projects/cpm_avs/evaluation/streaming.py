"""A metric as sums of integers: constant memory, the same result for any batches and ranks."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info
from mmengine.evaluator import BaseMetric

# Counts of one group of frames by name, each an int or an int64 array; groups by (kind, name).
Counts = dict[str, Any]
Sums = dict[tuple[str, str], Counts]

_LOW_BITS, _BITS = 26, 52


def to_fixed(values: float | np.ndarray) -> np.ndarray:
    """Values between 0 and 1 as integers whose sum is exact, so in any order the same.

    Two words of 26 bits in int64, (2, ...): the sums of 2^37 frames fit.
    """
    ticks = np.rint(np.ldexp(np.asarray(values, np.float64), _BITS)).astype(np.int64)
    return np.stack([ticks >> _LOW_BITS, ticks & ((1 << _LOW_BITS) - 1)])


def from_fixed(total: np.ndarray) -> np.ndarray:
    """The sum that :func:`to_fixed` integers add up to, float64."""
    return np.ldexp(np.ldexp(total[0].astype(np.float64), _LOW_BITS) + total[1], -_BITS)


def add_sums(total: Sums, more: Sums) -> None:
    """Add ``more`` to ``total`` in place."""
    for group, counts in more.items():
        mine = total.setdefault(group, {})
        for name, value in counts.items():
            mine[name] = mine[name] + value if name in mine else value


class StreamingMetric(BaseMetric):
    """Base of metrics that add up integers frame by frame.

    A rank keeps its sums and the counts of its latest item, which is a frame, or the
    ``clip_length`` frames of a whole clip. MMEngine's ``DefaultSampler`` gives item r + k W to rank
    r of W and pads with at most one repeated item a rank, the last one: once the size of the data
    set is known, that item is counted or dropped.

    Args:
        collect_device: 'cpu' (over a shared folder) or 'gpu', as in ``BaseMetric``.
        prefix: Put before every key, as in ``BaseMetric``.
        collect_dir: Shared folder of several nodes, as in ``BaseMetric``.
    """

    _sums: Sums
    _latest: Sums
    _left: int  # frames of the latest item still to come
    _seen: int

    def __init__(
        self,
        *,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        self._reset()

    @abstractmethod
    def measure(self, sample: dict[str, Any], position: int) -> Sums:
        """Counts of one frame.

        Args:
            sample: A ``SegDataSample`` as a dict.
            position: Its item's place in the data set.
        """

    @abstractmethod
    def summarise(self, sums: Sums) -> dict[str, float]:
        """Scores of all frames of all ranks; runs on the main process only."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        rank, world = get_dist_info()
        for sample in data_samples:
            if self._left == 0:
                add_sums(self._sums, self._latest)
                self._latest, self._left = {}, sample.get("clip_length", 1)
                self._seen += 1
            add_sums(self._latest, self.measure(sample, rank + (self._seen - 1) * world))
            self._left -= 1

    def evaluate(self, size: int) -> dict[str, float]:
        """Scores of the whole data set of ``size`` items, on every rank."""
        rank, world = get_dist_info()
        share = math.ceil((size - rank) / world)
        # The sampler fills up the last round, so that a rank may see one item more.
        if not share <= self._seen <= share + 1:
            raise ValueError(
                f"Rank {rank} of {world} scored {self._seen} of {size} items, but its share is "
                f"{share}; use the DefaultSampler for evaluation, and no drop_last."
            )
        if self._seen == share:
            add_sums(self._sums, self._latest)
        # One result a rank, which the parent gathers, scores and broadcasts.
        self.results = [self._sums]
        self._reset()
        return super().evaluate(world)

    def compute_metrics(self, results: list[Sums]) -> dict[str, float]:
        total: Sums = {}
        for sums in results:
            add_sums(total, sums)
        if not total:
            raise ValueError("No frame was scored; check the test set's index and root.")
        return self.summarise(total)

    def _reset(self) -> None:
        self._sums, self._latest, self._left, self._seen = {}, {}, 0, 0


def class_names(metric: BaseMetric) -> tuple[str, ...]:
    """Names of the C classes of the data set that is being scored."""
    meta = metric.dataset_meta or {}
    if "classes" not in meta:
        raise ValueError(
            f"{type(metric).__name__} needs dataset_meta['classes']; set METAINFO of the data set."
        )
    return tuple(meta["classes"])


def mask_of(sample: dict[str, Any], key: str) -> Any:
    """The (H, W) map under ``key`` ('pred_sem_seg' or 'gt_sem_seg') of a sample."""
    if key not in sample:
        raise ValueError(
            f"The sample {sample.get('img_path', '')} has no {key}; "
            + ("add LoadAVSMask to the test pipeline." if key.startswith("gt") else "run predict.")
        )
    return sample[key]["data"].squeeze(0)
