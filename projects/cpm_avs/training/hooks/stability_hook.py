"""STS, the stability of the bipartite matching (Algorithm 1, Fig. 4), once an epoch."""

import math
from typing import Any

import torch
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import IterBasedTrainLoop, Runner
from mmseg.registry import HOOKS
from torch import Tensor

from ...model_wrapper import bare_model
from ..diagnostics.stability import assignment_counts, stability_score
from .checkpoint_hook import CollectedStateHook
from .resumed_records import unusable


@HOOKS.register_module()
class StabilityHook(CollectedStateHook):
    """Counts which query was matched with which class, over all ranks; lower scores are steadier.

    Reads ``criterion.last_assignment``, LongTensor (B, N) with C for no-object, and
    ``criterion.num_classes`` (C). Logs ``STS`` to the screen, the JSON files and the visualizer's
    other backends. The counts of an unfinished epoch survive a resume.

    Args:
        interval: Iterations that make an epoch in iteration-based training; None in epoch-based.
    """

    checkpoint_key = "stability_counts"

    def __init__(self, *, interval: int | None = None) -> None:
        if interval is not None and interval < 1:
            raise ValueError(f"interval must be at least 1 or None, got {interval}.")
        self.interval = interval
        self._counts: Tensor | None = None  # (C, N), of this rank since the epoch began
        self._loaded: Any = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Remember the counts; whether this is a resume is known only in ``before_train``."""
        self._loaded = checkpoint.get(self.checkpoint_key)

    def before_train(self, runner: Runner) -> None:
        """Take the counts over if the run goes on; they are sums, so only one rank gets them."""
        if self.interval is None and isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ValueError(
                "StabilityHook(interval=None) reports once an epoch and iteration-based training "
                "has none: set interval to the iterations between two reports."
            )
        if runner.iter > 0 and self._loaded is not None:
            counts, classes = self._loaded, bare_model(runner).criterion.num_classes
            if not isinstance(counts, Tensor) or counts.ndim != 2 or len(counts) != classes:
                raise unusable(self.checkpoint_key, counts)
            self._counts = counts if is_main_process() else torch.zeros_like(counts)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Add the matching of this iteration."""
        model = bare_model(runner)
        assignment = model.criterion.last_assignment
        counts = assignment_counts(assignment, model.criterion.num_classes)
        self._counts = counts if self._counts is None else self._counts.to(counts.device) + counts
        if self.interval is not None and self.every_n_train_iters(runner, self.interval):
            self._report(runner, runner.iter + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        """Report, unless ``interval`` says when."""
        if self.interval is None:
            self._report(runner, runner.iter)

    def collect(self) -> Tensor | None:
        """Counts summed over the ranks, (C, N); None when the epoch has not begun."""
        if self._counts is None:
            return None
        total = self._counts.clone()
        all_reduce(total)
        return total

    def _report(self, runner: Runner, iterations: int) -> None:
        counts = self.collect()
        self._counts = None
        score = math.nan if counts is None else stability_score(counts)
        if math.isnan(score):
            runner.logger.info("STS: nothing was matched since the last report")
            return
        runner.logger.info(f"STS (matching stability, lower is steadier): {score:.4f}")
        runner.visualizer.add_scalars(
            dict(STS=score), step=iterations, file_path=f"{runner.timestamp}.json"
        )
