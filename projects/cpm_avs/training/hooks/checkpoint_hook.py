"""Checkpoints that a run can resume from to the bit, written so that a kill can't spoil them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ...files import write_whole
from .best_score import check_best_score


@register_backend("atomic_local")
class AtomicLocalBackend(LocalBackend):
    """Local files that appear under their name only once they are complete."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write next to ``filepath``, flush to the disk, then rename."""
        write_whole(filepath, obj)


class CollectedStateHook(Hook):
    """A hook whose state differs between ranks and goes into the checkpoint.

    MMEngine calls ``before_save_checkpoint`` on the main process alone, where nothing can be asked
    of the other ranks, so `ExactCheckpointHook` calls ``collect`` on all of them first.
    """

    checkpoint_key: str
    _collected: Any = None

    def collect(self) -> Any:
        """Gather the state of all ranks (a collective); tensors, numbers, lists and dicts only."""
        raise NotImplementedError

    def collect_for_checkpoint(self) -> None:
        """Keep what ``collect`` returns for the checkpoint that is about to be written."""
        self._collected = self.collect()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Put the collected state into the checkpoint, once: a "best" one is not resumed from."""
        if self._collected is not None:
            checkpoint[self.checkpoint_key] = self._collected
        self._collected = None


@HOOKS.register_module()
class ExactCheckpointHook(CheckpointHook):
    """MMEngine's CheckpointHook with the state of all ranks, written atomically.

    Takes the same arguments. The oldest checkpoint is deleted before the next is written, so at
    least two are kept.
    """

    def before_train(self, runner: Runner) -> None:
        """Choose the atomic backend for local folders; refuse what would fail much later."""
        if self.max_keep_ckpts == 1:
            raise ValueError(
                "max_keep_ckpts=1 deletes the only whole checkpoint before the next one is "
                "written; use 2 or more, or -1 to keep all."
            )
        if runner.val_loop is not None:
            check_best_score(self.save_best, runner.val_loop.evaluator.metrics)
        super().before_train(runner)
        if isinstance(self.file_backend, LocalBackend):
            self.backend_args = dict(backend="atomic_local")

    def _save_checkpoint_with_step(
        self, runner: Runner, step: int, meta: Mapping[str, Any]
    ) -> None:
        for hook in runner.hooks:
            if isinstance(hook, CollectedStateHook):
                hook.collect_for_checkpoint()
        super()._save_checkpoint_with_step(runner, step, meta)
