"""A hook that refuses a checkpoint which training can't go on from as the config has it."""

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from ..safe_checkpoint import CheckpointError
from .checkpoint_fit import CheckpointFitHook

_OF_A_RUN: dict[str, dict[str, type]] = dict(
    meta=dict(epoch=int, iter=int),
    message_hub=dict(log_scalars=dict, runtime_info=dict, resumed_keys=dict),
    optimizer=dict(state=dict, param_groups=list),
)
#: What a scheduler was built with; the rest of its state moves.
_PLANNED = {"begin", "end", "by_epoch", "total_iters", "T_max", "eta_min", "power", "start_factor"}
_PLANNED |= {"end_factor", "gamma", "step_size", "milestones", "factor"}
#: How an optimiser computes, and not what; and what its groups have beside its options.
_NO_OPTION = {"params", "fused", "foreach", "capturable", "differentiable"}
_BEGIN_ANEW = "or begin a new run with its weights: load_from without --resume"


class ResumedCheckpointHook(CheckpointFitHook):
    """Refuses a checkpoint that training can't go on from, too.

    mmengine would begin with a new optimiser and the schedule's first learning rate, amid the run;
    or go on with the saved rates and schedule, whatever the config has by now.
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
        optimiser = runner.optim_wrapper.optimizer
        saved = checkpoint["optimizer"]["param_groups"]
        self._check_kind(type(optimiser).__name__, checkpoint["meta"], saved, optimiser)
        self._check_groups(saved, optimiser.param_groups)
        self._check_options(saved, optimiser.param_groups)
        self._check_schedule(runner, checkpoint)
        if any(type(hook) is CheckpointHook for hook in runner.hooks):
            # mmengine's own deletes what these name, wherever it lies.
            info = checkpoint["message_hub"]["runtime_info"]
            for key in [one for one in info if str(one).startswith(("best_ckpt", "keep_ckpt_ids"))]:
                del info[key]

    def _check_kind(
        self, kind: str, meta: dict[str, Any], saved: Sequence[dict], optimiser: Any
    ) -> None:
        """Torch would miss a part of the state in the first step, or misread it."""
        began = meta.get("optimizer_type")
        unknown = {key for group in saved for key in group if not key.startswith("initial_")}
        unknown -= {key for group in optimiser.param_groups for key in group} | _NO_OPTION
        if began == kind or (began is None and not unknown):
            return
        told = f"is {began}" if began else f"has {', '.join(sorted(unknown))}"
        raise CheckpointError(
            f"{self.source}: its optimiser {told}, and the config's is {kind}; resume with the "
            f"type that it began with, {_BEGIN_ANEW}"
        )

    def _check_groups(self, saved: Sequence[dict], own: Sequence[dict]) -> None:
        """An optimiser's state belongs to its groups of parameters, in their order."""
        sizes, own_sizes = ([len(group["params"]) for group in groups] for groups in (saved, own))
        if sizes != own_sizes:
            raise CheckpointError(
                f"{self.source}: its optimiser has {len(sizes)} groups of {sum(sizes)} parameters, "
                f"and the config's has {len(own_sizes)} of {sum(own_sizes)}, or others in them. "
                f"Resume with the config and the version that it began with, {_BEGIN_ANEW}"
            )

    def _check_options(self, saved: Sequence[dict], own: Sequence[dict]) -> None:
        """Torch goes on with the saved options."""
        for number, (there, here) in enumerate(zip(saved, own, strict=True)):
            for key in sorted(there.keys() & here.keys() - _NO_OPTION):
                began = f"initial_{key}"  # of what a schedule moves
                key = began if began in there and began in here else key
                if _plain(there[key]) != _plain(here[key]):
                    name = key.removeprefix("initial_")
                    raise CheckpointError(
                        f"{self.source}: its optimiser began with {name}={_plain(there[key])} (of "
                        f"parameter group {number}), and the config has {_plain(here[key])}; a "
                        "resumed run keeps its optimiser's options. Resume with those that it "
                        f"began with, {_BEGIN_ANEW}"
                    )

    def _check_schedule(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Mmengine goes on with the saved schedule."""
        saved, planned = checkpoint.get("param_schedulers"), runner.param_schedulers
        if not isinstance(saved, list) or not isinstance(planned, list):
            return
        remedy = (
            "a resumed run keeps its schedule. Resume with the settings that it began with, "
            f"{_BEGIN_ANEW}"
        )
        kinds = [sorted(_PLANNED & state.keys()) for state in saved]
        own = [sorted(_PLANNED & vars(scheduler).keys()) for scheduler in planned]
        if kinds != own:
            names = ", ".join(type(scheduler).__name__ for scheduler in planned)
            raise CheckpointError(
                f"{self.source}: its {len(saved)} param_scheduler(s) are not of the kinds of the "
                f"config's ({names}); {remedy}"
            )
        for number, (state, scheduler) in enumerate(zip(saved, planned, strict=True)):
            for key in kinds[number]:
                if state[key] != vars(scheduler)[key]:
                    raise CheckpointError(
                        f"{self.source}: param_scheduler.{number} has {key}={state[key]} there and "
                        f"{vars(scheduler)[key]} in the config; {remedy}"
                    )
        done, rates = checkpoint["meta"]["iter"], checkpoint["optimizer"]["param_groups"]
        if rates and done < runner.max_iters and not any(group["lr"] for group in rates):
            raise CheckpointError(
                f"{self.source}: its learning rate has come to 0 after {done} of "
                f"{runner.max_iters} iterations; {remedy}"
            )


def _plain(option: Any) -> Any:
    """A list in place of a tuple, as one may write it, and numbers to 12 digits."""
    if isinstance(option, (list, tuple)):
        return [_plain(one) for one in option]
    return float(f"{option:.12g}") if isinstance(option, float) else option
