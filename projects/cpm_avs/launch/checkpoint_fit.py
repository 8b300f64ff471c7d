"""Hooks that refuse a checkpoint which the model or the run can't take."""

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner

from ..safe_checkpoint import (
    CheckpointError,
    check_fit,
    check_number_of_classes,
    class_names_of,
    weights_of,
)

_OF_A_RUN: dict[str, dict[str, type]] = dict(
    meta=dict(epoch=int, iter=int),
    message_hub=dict(log_scalars=dict, runtime_info=dict, resumed_keys=dict),
    optimizer=dict(state=dict, param_groups=list),
)


class CheckpointFitHook(Hook):
    """Refuses a checkpoint of another model before mmengine loads the part that fits.

    Args:
        source: What the message names.
        ignored_prefix: Keys that the model need not have, and that are taken out of the checkpoint.
    """

    def __init__(self, *, source: str, ignored_prefix: str | None = None) -> None:
        self.source = source
        self.ignored_prefix = ignored_prefix

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare names and shapes."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        names = class_names_of(checkpoint, self.source)
        check_number_of_classes(names, model, self.source)
        given = weights_of(checkpoint, self.source)
        if self.ignored_prefix is not None:
            given = {k: v for k, v in given.items() if not k.startswith(self.ignored_prefix)}
        check_fit(model, given, self.source)
        self._tell_other_names(runner, names)
        weights = checkpoint.get("state_dict", checkpoint)
        weights.clear()
        weights.update(given)

    def _tell_other_names(self, runner: Runner, names: Sequence[str]) -> None:
        """Classes count by their numbers: other names may be right, another order is not."""
        for split in ("train", "test"):
            loop = getattr(runner, f"_{split}_loop", None)
            dataset = loop.dataloader.dataset if isinstance(loop, BaseLoop) else None
            wanted = (getattr(dataset, "metainfo", None) or {}).get("classes", ())
            for number, (own, other) in enumerate(zip(names, wanted, strict=False)):
                if own != other:
                    runner.logger.warning(
                        f"{self.source}: its class {number} is {own!r}, and that of "
                        f"{split}_dataloader.dataset {other!r}: numbers count, not names"
                    )
                    break


#: What a scheduler was built with; the rest of its state moves.
_PLANNED = {"begin", "end", "by_epoch", "total_iters", "T_max", "eta_min", "power", "start_factor"}
_PLANNED |= {"end_factor", "gamma", "step_size", "milestones", "factor"}


class ResumedCheckpointHook(CheckpointFitHook):
    """Refuses a checkpoint that training can't go on from, too.

    mmengine would begin with a new optimiser and the schedule's first learning rate, amid the run.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare names and shapes, and look for all that a run has beside weights."""
        super().after_load_checkpoint(runner, checkpoint)
        if "optimizer" not in checkpoint:
            raise CheckpointError(
                f"{self.source}: it holds no state of the optimiser, as best_*.pth and published "
                "files do. Resume from a numbered checkpoint, or leave out --resume: load_from "
                "alone begins a new run with its weights."
            )
        for part, keys in _OF_A_RUN.items():
            found = checkpoint.get(part)
            if not isinstance(found, dict) or not all(
                isinstance(found.get(key), kind) for key, kind in keys.items()
            ):
                wanted = ", ".join(f"{key} ({kind.__name__})" for key, kind in keys.items())
                raise CheckpointError(
                    f"{self.source}: its {part} is no dict with {wanted}, which training goes on "
                    "with. Resume from a file that tools/train.py wrote."
                )
        self._check_groups(runner, checkpoint)
        self._check_schedule(runner, checkpoint)

    def _check_groups(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """An optimiser's state belongs to its groups of parameters, in their order."""
        saved = [len(group["params"]) for group in checkpoint["optimizer"]["param_groups"]]
        own = [len(group["params"]) for group in runner.optim_wrapper.optimizer.param_groups]
        if saved != own:
            raise CheckpointError(
                f"{self.source}: its optimiser has {len(saved)} groups of {sum(saved)} parameters, "
                f"and the config's has {len(own)} of {sum(own)}, or others in them. Resume with "
                "the config and the version that it began with, or begin a new run with its "
                "weights: load_from without --resume"
            )

    def _check_schedule(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Mmengine goes on with the saved schedule, whatever the config has by now."""
        saved, planned = checkpoint.get("param_schedulers"), runner.param_schedulers
        if not isinstance(saved, list) or not isinstance(planned, list):
            return
        remedy = (
            "a resumed run keeps its schedule. Resume with the settings that it began with, or "
            "begin a new run with its weights: load_from without --resume"
        )
        for number, (state, scheduler) in enumerate(zip(saved, planned, strict=False)):
            for key in sorted(_PLANNED & state.keys() & vars(scheduler).keys()):
                if state[key] != vars(scheduler)[key]:
                    raise CheckpointError(
                        f"{self.source}: param_scheduler.{number} has {key}={state[key]} there and "
                        f"{vars(scheduler)[key]} in the config; {remedy}"
                    )
        done, rates = checkpoint["meta"]["iter"], checkpoint["optimizer"].get("param_groups", [])
        if rates and done < runner.max_iters and not any(group["lr"] for group in rates):
            raise CheckpointError(
                f"{self.source}: its learning rate has come to 0 after {done} of "
                f"{runner.max_iters} iterations; {remedy}"
            )
