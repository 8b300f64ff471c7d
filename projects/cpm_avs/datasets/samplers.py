"""Samplers whose order and draw numbers depend on the seed alone, not on ranks, workers or resumes.

Draw d of a run is sample ``permutation(seed + epoch)[d % n]`` with ``epoch = d // n``. Of W ranks,
rank r takes the draws r, r + W, r + 2W, ...: whatever W is, global batch i holds the same draws.
"""

import itertools
import math
from collections.abc import Iterator, Sized

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from mmseg.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from .sample_index import SampleIndex


class _DrawSampler(Sampler):
    """The mapping from draw numbers to samples that both samplers share."""

    def __init__(self, *, dataset: Sized, seed: int | None = None) -> None:
        if len(dataset) == 0:
            raise ValueError(
                "The training set has 0 samples: check its data_root, index file and subset."
            )
        self.rank, self.world_size = get_dist_info()
        self.size = len(dataset)
        self.seed = sync_random_seed() if seed is None else seed

    def _order(self, epoch: int) -> list[int]:
        """Shuffled indices of an epoch."""
        generator = torch.Generator().manual_seed(self.seed + epoch)
        return torch.randperm(self.size, generator=generator).tolist()


@DATA_SAMPLERS.register_module()
class InfiniteDrawSampler(_DrawSampler):
    """Endless sampler for ``IterBasedTrainLoop``; resuming loads none of the skipped data.

    Args:
        dataset: The data set to draw from.
        seed: The run's seed, the same on all ranks; MMEngine passes it. None: agreed on at random.
    """

    skipped = 0

    def skip(self, num_samples: int) -> None:
        """Start behind this rank's first ``num_samples`` draws, counted from the run's start."""
        if num_samples < 0:
            raise ValueError(f"num_samples must not be negative, got {num_samples}.")
        self.skipped = num_samples

    def __iter__(self) -> Iterator[SampleIndex]:
        current, order = -1, []
        for draw in itertools.count(self.rank + self.skipped * self.world_size, self.world_size):
            epoch, position = divmod(draw, self.size)
            if epoch != current:
                current, order = epoch, self._order(epoch)
            yield SampleIndex(order[position], draw)

    def __len__(self) -> int:
        """Samples of an epoch over all ranks, as MMEngine's InfiniteSampler has it."""
        return self.size


@DATA_SAMPLERS.register_module()
class EpochDrawSampler(_DrawSampler):
    """One pass a rank over its share, for ``EpochBasedTrainLoop``, which calls ``set_epoch``.

    Where the set does not divide by the ranks, the epoch's first draws are repeated at its end, so
    that all ranks do the same number of iterations.

    Args:
        dataset: The data set to draw from.
        seed: The run's seed, the same on all ranks; MMEngine passes it. None: agreed on at random.
    """

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[SampleIndex]:
        order = self._order(self.epoch)
        for k in range(len(self)):
            position = (self.rank + k * self.world_size) % self.size
            yield SampleIndex(order[position], self.epoch * self.size + position)

    def __len__(self) -> int:
        """Samples of an epoch on this rank."""
        return math.ceil(self.size / self.world_size)
