"""Checkpoints that a run can resume from to the bit, written so that a kill can't spoil them."""

from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, get_file_backend, register_backend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmseg.registry import HOOKS

from ...files import check_folder, write_whole
from ...work_folder import POINTER, claim
from .best_score import check_best_score, check_monitors, check_rule, refuse_missing_score
from .resumed_records import (
    CHOSEN_BY,
    VALIDATED,
    histories,
    is_best_name,
    is_score,
    is_validation_due,
    own_numbers,
    plain,
    tell_of_epoch_begun,
)


@register_backend("atomic_local")
class AtomicLocalBackend(LocalBackend):
    """Local files that appear under their name only once they are complete."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write next to ``filepath``, flush to the disk, then rename."""
        write_whole(filepath, obj)

    def rmtree(self, dir_path: str | Path) -> None:
        """Leave it: no folder is a checkpoint of this project."""


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
    least two are kept. A run that goes on from a checkpoint deletes files in its own folder only,
    whatever the checkpoint names, and begins with the validation that was interrupted, if one was.
    """

    _epochs: bool | None = None  # whether validations are counted in epochs; None: no training

    def before_train(self, runner: Runner) -> None:
        """Claim the work folder, and go on where the run that is resumed was interrupted."""
        if self.max_keep_ckpts == 1:
            raise ValueError(
                "max_keep_ckpts=1 deletes the only whole checkpoint before the next one is "
                "written; use 2 or more, or -1 to keep all."
            )
        if runner.val_loop is not None:
            metrics = runner.val_loop.evaluator.metrics
            check_best_score(self.save_best, metrics)
            if self.save_best:
                for score, rule in zip(self.key_indicators, self.rules, strict=True):
                    check_rule(score, rule, metrics, "default_hooks.checkpoint.rule")
            check_monitors(runner)
        if is_main_process():
            claim(runner.work_dir)
        if isinstance(get_file_backend(self.out_dir or runner.work_dir), LocalBackend):
            self.backend_args = dict(backend="atomic_local")
        hub = runner.message_hub
        if "keep_ckpt_ids" in hub.runtime_info:
            hub.update_info("keep_ckpt_ids", own_numbers(hub.get_info("keep_ckpt_ids")))
        super().before_train(runner)
        if isinstance(self.file_backend, LocalBackend) and is_main_process():
            check_folder(self.out_dir)
        self._forget_other_best(runner)
        self._keep_own_best(hub)
        self._epochs = isinstance(runner.train_loop, EpochBasedTrainLoop)
        tell_of_epoch_begun(runner)
        if is_validation_due(runner):
            runner.logger.info("No end of this checkpoint's validation is noted: it is done now.")
            # A new best is noted in the checkpoint itself, too.
            step = runner.epoch if self.by_epoch else runner.iter
            self.last_ckpt = self._find(self.filename_tmpl.format(step))
            runner.val_loop.run()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Note that the validation ended, in the checkpoint of a new best, too."""
        if self._epochs is not None:
            refuse_missing_score(self.save_best, [*metrics])
            runner.message_hub.update_info(VALIDATED, runner.epoch if self._epochs else runner.iter)
        super().after_val_epoch(runner, metrics)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Save tensors and plain numbers only, and which optimiser the state is of."""
        checkpoint["meta"]["optimizer_type"] = _optimizer_type(runner.optim_wrapper)
        for key in checkpoint.keys() - {"state_dict", "optimizer"}:
            checkpoint[key] = plain(checkpoint[key])

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Give the message hub its histories back."""
        hub = checkpoint.get("message_hub")
        if isinstance(hub, dict) and isinstance(hub.get("log_scalars"), dict):
            hub["log_scalars"] = histories(hub["log_scalars"])

    def _forget_other_best(self, runner: Runner) -> None:
        """Where the run that goes on chose its best by another score, begin to choose anew.

        A score of 60 percent of the one would never be reached by another one that ends at 1.
        """
        if self.save_best is None:
            return
        info = runner.message_hub.runtime_info
        scores = [self.save_best] if isinstance(self.save_best, str) else self.save_best
        chosen_by = " ".join(map(str, [*scores, *self.rules]))
        if info.get(CHOSEN_BY, chosen_by) != chosen_by:
            for key in [one for one in info if one.startswith(("best_score", "best_ckpt"))]:
                runner.message_hub.pop_info(key)
            runner.logger.warning(
                f"save_best was {info[CHOSEN_BY]} and is {chosen_by}: the best checkpoint is "
                "chosen anew; the earlier best one stays"
            )
        runner.message_hub.update_info(CHOSEN_BY, chosen_by)

    def _keep_own_best(self, hub: MessageHub) -> None:
        """Look for the best checkpoints in this run's folder, wherever they are said to be.

        The one that is replaced by a better one is deleted.
        """
        for key, value in list(hub.runtime_info.items()):
            if key.startswith("best_ckpt"):
                name = PureWindowsPath(str(value)).name  # takes both kinds of slashes
                path = self._find(name) if is_best_name(name, self.filename_tmpl) else None
                hub.pop_info(key)
                if path is not None:
                    hub.update_info(key, path)
            elif key.startswith("best_score") and not is_score(value):
                hub.pop_info(key)
        if self.save_best is None:
            return
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = hub.runtime_info.get("best_ckpt")
        else:
            for key in self.key_indicators:
                self.best_ckpt_path_dict[key] = hub.runtime_info.get(f"best_ckpt_{key}")

    def _find(self, name: str) -> str | None:
        path = self.file_backend.join_path(self.out_dir, name)
        return path if self.file_backend.isfile(path) else None

    def _save_checkpoint_with_step(
        self, runner: Runner, step: int, meta: Mapping[str, Any]
    ) -> None:
        for hook in runner.hooks:
            if isinstance(hook, CollectedStateHook):
                hook.collect_for_checkpoint()
        super()._save_checkpoint_with_step(runner, step, meta)
        if is_main_process() and self.out_dir == runner.work_dir:
            write_whole(Path(runner.work_dir, POINTER), self.filename_tmpl.format(step))


def _optimizer_type(wrapper: OptimWrapper) -> str | dict[str, str]:
    """Name of the optimiser's class; of several, by their own names."""
    if isinstance(wrapper, OptimWrapperDict):
        return {name: type(one.optimizer).__name__ for name, one in wrapper.items()}
    return type(wrapper.optimizer).__name__
