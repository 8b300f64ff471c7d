"""How many bad training samples were skipped."""

from collections import Counter

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner
from mmseg.registry import HOOKS


@HOOKS.register_module()
class SkipReportHook(Hook):
    """Counts the files that the data set skipped, over all ranks, and reports them once an epoch.

    The data set says what is wrong with a file when it meets it; each sample of a batch carries
    the files it stands in for in its metainfo ``skipped``.

    Args:
        interval: Iterations that make an epoch in iteration-based training; None: a report at the
            end of each epoch, which in iteration-based training is the end of the run.
        max_names: Files named in one report, the most frequent first.
    """

    def __init__(self, *, interval: int | None = None, max_names: int = 10) -> None:
        if interval is not None and interval < 1:
            raise ValueError(f"interval must be at least 1 or None, got {interval}.")
        self.interval = interval
        self.max_names = max_names
        self._counts: Counter[str] = Counter()  # of this rank since the last report
        self._total = 0  # of all ranks since the start of this process

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Add the skipped files of this batch."""
        assert isinstance(data_batch, dict)
        for sample in data_batch["data_samples"]:
            self._counts.update(sample.metainfo.get("skipped", ()))
        if self.interval is not None and self.every_n_train_iters(runner, self.interval):
            self._report(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Report; in iteration-based training this is the end of the run."""
        self._report(runner)

    def _report(self, runner: Runner) -> None:
        counts: Counter[str] = sum(all_gather_object(self._counts), Counter())
        self._counts = Counter()
        if not counts:
            return
        new = sum(counts.values())
        self._total += new
        names = ", ".join(
            f"{path} ({count}x)" for path, count in counts.most_common(self.max_names)
        )
        more = f" and {len(counts) - self.max_names} more" if len(counts) > self.max_names else ""
        runner.logger.warning(
            f"Bad samples skipped: {new} since the last report, {self._total} in this run: "
            f"{names}{more}"
        )
