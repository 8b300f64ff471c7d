"""A hook that refuses a checkpoint which training can't go on from as the config has it."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor

from ..safe_checkpoint import CheckpointError, odd_kind
from .checkpoint_fit import CheckpointFitHook

_OF_A_RUN: dict[str, dict[str, type]] = dict(
    meta=dict(epoch=int, iter=int),
    message_hub=dict(log_scalars=dict, runtime_info=dict, resumed_keys=dict),
)
_OF_AN_OPTIMISER: dict[str, type] = dict(state=dict, param_groups=list)
#: What a scheduler was built with; the rest of its state moves.
_PLANNED = {"begin", "end", "by_epoch", "total_iters", "T_max", "eta_min", "power", "start_factor"}
_PLANNED |= {"end_factor", "gamma", "step_size", "milestones", "factor"}
#: How an optimiser computes, and not what; and what its groups have beside its options.
_NO_OPTION = {"params", "fused", "foreach", "capturable", "differentiable"}
_BEGIN_ANEW = "or begin a new run with its weights: load_from without --resume"


class _Learner(NamedTuple):
    """An optimiser of a run, and what the checkpoint has of it.

    Attributes:
        name: In the messages; empty of a run's only one.
        place: Of its schedule in the config.
        optimiser: The config's.
        saved: Its groups' settings in the checkpoint.
        state: What it has of each parameter there.
        began: Class that the run began with, where the checkpoint says it.
        schedule: Its schedulers' states in the checkpoint.
        planned: The config's schedulers.
    """

    name: str
    place: str
    optimiser: Any
    saved: Sequence[dict]
    state: dict
    began: str | None
    schedule: Any
    planned: Any


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
            self._check_part(part, checkpoint.get(part), keys)
        for key, resumed in checkpoint["message_hub"]["resumed_keys"].items():
            self._check_like(True, resumed, f"message_hub.resumed_keys.{key}")
        for learner in self._learners(runner, checkpoint):
            self._check_kind(learner)
            self._check_groups(learner)
            self._check_state(learner)
            self._check_options(learner)
            self._check_schedule(learner, checkpoint["meta"]["iter"], runner.max_iters)
        if any(type(hook) is CheckpointHook for hook in runner.hooks):
            # mmengine's own deletes what these name, wherever it lies.
            info = checkpoint["message_hub"]["runtime_info"]
            for key in [one for one in info if str(one).startswith(("best_ckpt", "keep_ckpt_ids"))]:
                del info[key]

    def _check_part(self, part: str, found: Any, keys: dict[str, type]) -> None:
        if not isinstance(found, dict) or not all(
            isinstance(found.get(key), kind) for key, kind in keys.items()
        ):
            wanted = ", ".join(f"{key} ({kind.__name__})" for key, kind in keys.items())
            raise CheckpointError(
                f"{self.source}: its {part} is no dict with {wanted}, which training goes on "
                "with. Resume from a file that tools/train.py wrote."
            )

    def _learners(self, runner: Runner, checkpoint: dict[str, Any]) -> Iterator[_Learner]:
        """The optimiser, or those of a model that has several."""
        wrapper, saved, meta = runner.optim_wrapper, checkpoint["optimizer"], checkpoint["meta"]
        began, schedule = meta.get("optimizer_type"), checkpoint.get("param_schedulers")
        if not isinstance(wrapper, OptimWrapperDict):
            if isinstance(began, dict):
                raise CheckpointError(
                    f"{self.source}: it has the optimisers {', '.join(began)}, and the config has "
                    f"one; resume with those that it began with, {_BEGIN_ANEW}"
                )
            self._check_part("optimizer", saved, _OF_AN_OPTIMISER)
            groups, state = saved["param_groups"], saved["state"]
            own, planned = wrapper.optimizer, runner.param_schedulers
            yield _Learner("", "", own, groups, state, began, schedule, planned)
            return
        names = set(saved) if isinstance(saved, dict) else set()
        if names != set(wrapper.keys()) or not isinstance(began, dict):
            raise CheckpointError(
                f"{self.source}: its optimiser is not of the config's {', '.join(wrapper.keys())}; "
                f"resume with the config that it began with, {_BEGIN_ANEW}"
            )
        for name, one in wrapper.items():
            self._check_part(f"optimizer.{name}", saved[name], _OF_AN_OPTIMISER)
            yield _Learner(
                f" {name}",
                f"{name}.",
                one.optimizer,
                saved[name]["param_groups"],
                saved[name]["state"],
                began.get(name),
                schedule.get(name) if isinstance(schedule, dict) else None,
                (runner.param_schedulers or {}).get(name),
            )

    def _check_kind(self, learner: _Learner) -> None:
        """Torch would miss a part of the state in the first step, or misread it."""
        kind, began = type(learner.optimiser).__name__, learner.began
        unknown = {key for group in learner.saved for key in group}
        unknown = {key for key in unknown if not key.startswith("initial_")} - _NO_OPTION
        unknown -= {key for group in learner.optimiser.param_groups for key in group}
        if began == kind or (began is None and not unknown):
            return
        told = f"is {began}" if began else f"has {', '.join(sorted(unknown))}"
        raise CheckpointError(
            f"{self.source}: its optimiser{learner.name} {told}, and the config's is {kind}; "
            f"resume with the type that it began with, {_BEGIN_ANEW}"
        )

    def _check_groups(self, learner: _Learner) -> None:
        """An optimiser's state belongs to its groups of parameters, in their order."""
        both = (learner.saved, learner.optimiser.param_groups)
        sizes, own_sizes = ([len(group["params"]) for group in groups] for groups in both)
        if sizes != own_sizes:
            raise CheckpointError(
                f"{self.source}: its optimiser{learner.name} has {len(sizes)} groups of "
                f"{sum(sizes)} parameters, and the config's has {len(own_sizes)} of "
                f"{sum(own_sizes)}, or others in them. "
                f"Resume with the config and the version that it began with, {_BEGIN_ANEW}"
            )

    def _check_state(self, learner: _Learner) -> None:
        """Fused steps read and write behind the end of what is smaller than its parameter."""
        if "fused" not in learner.optimiser.defaults:
            return
        numbers = [number for group in learner.saved for number in group["params"]]
        own = [one for group in learner.optimiser.param_groups for one in group["params"]]
        for number, parameter in zip(numbers, own, strict=True):
            for name, value in learner.state.get(number, {}).items():
                if value is None:
                    continue
                place = f"{name} of the optimiser{learner.name}"
                if name == "step":
                    is_one = isinstance(value, Tensor) and value.numel() == 1
                    self._check_like(0, value.item() if is_one else value, place, least=0)
                    continue
                if odd_kind(value) is not None or value.shape != parameter.shape:
                    shown = odd_kind(value) or f"tensor of {tuple(value.shape)}"
                    raise self._changed(
                        place, f"a {shown}, of a parameter {tuple(parameter.shape)}"
                    )

    def _check_like(self, own: Any, saved: Any, place: str, least: float = -math.inf) -> None:
        """Refuse what is no plain data of the same form: a number for a number, and so on."""
        if isinstance(own, (list, tuple)):
            fits = isinstance(saved, (list, tuple)) and len(saved) == len(own)
            for one, other in zip(own, saved if fits else own, strict=True):
                self._check_like(one, other, place, least)
        elif isinstance(own, (bool, str)):
            fits = type(saved) is type(own)
        elif isinstance(own, (int, float)):
            fits = type(saved) in (int, float) and saved >= least  # not so for NaN
        else:
            fits = True
        if not fits:
            raise self._changed(place, f"{saved!r:.40}")

    def _changed(self, place: str, found: str) -> CheckpointError:
        return CheckpointError(
            f"{self.source}: its {place} is {found}, which no run wrote: it was damaged or "
            f"changed. Resume from another one, {_BEGIN_ANEW}"
        )

    def _check_options(self, learner: _Learner) -> None:
        """Torch goes on with the saved options."""
        both = zip(learner.saved, learner.optimiser.param_groups, strict=True)
        for number, (there, here) in enumerate(both):
            for key in there.keys() & _NO_OPTION - {"params"}:
                if there[key] is not None:
                    self._check_like(True, there[key], f"{key} of the optimiser{learner.name}")
            for key in sorted(there.keys() & here.keys() - _NO_OPTION):
                began = f"initial_{key}"  # of what a schedule moves
                if began in there and began in here:
                    self._check_like(here[key], there[key], f"{key} of the optimiser{learner.name}")
                    key = began
                if _plain(there[key]) != _plain(here[key]):
                    name = key.removeprefix("initial_")
                    raise CheckpointError(
                        f"{self.source}: its optimiser{learner.name} began with "
                        f"{name}={_plain(there[key])} (of parameter group {number}), and the "
                        f"config has {_plain(here[key])}; a "
                        "resumed run keeps its optimiser's options. Resume with those that it "
                        f"began with, {_BEGIN_ANEW}"
                    )

    def _check_schedule(self, learner: _Learner, done: int, max_iters: int) -> None:
        """Mmengine goes on with the saved schedule."""
        saved, planned = learner.schedule, learner.planned
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
            place = f"param_scheduler.{learner.place}{number}"
            for key, own in scheduler.state_dict().items():
                self._check_like(own, state.get(key, own), f"{place}.{key}")
            for key in kinds[number]:
                there, here = state[key], vars(scheduler)[key]
                if there != here:
                    raise CheckpointError(
                        f"{self.source}: {place} has {key}={there} there and {here} in the config; "
                        f"{remedy}"
                    )
        if learner.saved and done < max_iters and not any(one["lr"] for one in learner.saved):
            raise CheckpointError(
                f"{self.source}: its learning rate has come to 0 after {done} of "
                f"{max_iters} iterations; {remedy}"
            )


def _plain(option: Any) -> Any:
    """A list in place of a tuple, as one may write it, and numbers to 12 digits."""
    if isinstance(option, (list, tuple)):
        return [_plain(one) for one in option]
    return float(f"{option:.12g}") if isinstance(option, float) else option
