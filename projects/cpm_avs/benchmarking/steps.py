"""Predictions and training steps of several models, side by side."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import torch
from mmengine.config import Config

from ..inference.recorded import record
from .memory import held_bytes, peak_bytes
from .report import Row
from .subjects import Subject, mmseg_beside, of_config
from .timing import Step, Timing, interleaved

Size = tuple[int, int]
_NO_GAIN = 0.97  # of the best frames/s so far: a larger batch is tried no further


@dataclass(frozen=True)
class Plan:
    """What is measured, each with each.

    Attributes:
        configs: By name; what the first one takes is 1.00.
        sizes: (H, W) of pictures.
        batches: Samples; None finds the batch with the most frames/s by doubling.
        precisions: Of 'fp32', 'fp16' and 'bf16'.
        runs: That count, of each.
        device: Such as 'cpu' or 'cuda:0'.
        versus_mmseg: Whether mmseg's Mask2Former is measured, too, and takes 1.00.
        recorded: Whether predictions are made by recorded networks, too.
        memory: Whether the peak of memory is measured, in a run of its own.
        most: Samples of the largest batch that doubling tries.
    """

    configs: Mapping[str, Config]
    sizes: Sequence[Size]
    batches: Sequence[int | None]
    precisions: Sequence[str] = ("fp32",)
    runs: int = 10
    device: str = "cpu"
    versus_mmseg: bool = False
    recorded: bool = False
    memory: bool = True
    most: int = 1024


def predictions(plan: Plan) -> Iterator[Row]:
    """Rows of predictions, from what a loader gives to class maps."""
    built = subjects_of(plan, plan.precisions[0], training=False)
    for precision, size, batch in product(plan.precisions, plan.sizes, plan.batches):
        subjects = {name: replace(one, precision=precision) for name, one in built.items()}
        ours = {name: one for name, one in subjects.items() if name != "mmseg"}
        recorded = {
            f"{name}, recorded": replace(one, model=record(one.model))
            for name, one in ours.items()
            if plan.recorded
        }
        if batch is not None:
            candidates = {**subjects, **recorded}
            yield from _rows(plan, "predict", candidates, Subject.predict, size, batch)
        else:
            for name, subject in {**ours, **recorded}.items():
                yield from _best(plan, name, subject, size)


def training_steps(plan: Plan) -> Iterator[Row]:
    """Rows of training steps: losses, gradients, optimiser."""
    torch.backends.cudnn.benchmark = True  # as the configs have it
    for precision in plan.precisions:
        subjects = subjects_of(plan, precision)
        for size, batch in product(plan.sizes, plan.batches):
            if batch is None:
                raise ValueError("a training step needs a number of samples; give --batch")
            yield from _rows(plan, "train", subjects, Subject.train, size, batch)


def subjects_of(plan: Plan, precision: str, *, training: bool = True) -> dict[str, Subject]:
    """The plan's models, what takes 1.00 first."""
    settings: dict[str, Any] = dict(device=plan.device, precision=precision)
    first = next(iter(plan.configs.values()))
    mmseg = {"mmseg": mmseg_beside(first, **settings)} if plan.versus_mmseg else {}
    return mmseg | {
        name: of_config(name, cfg, training=training, **settings)
        for name, cfg in plan.configs.items()
    }


def _rows(
    plan: Plan,
    what: str,
    subjects: Mapping[str, Subject],
    act: Callable[[Subject, dict[str, Any]], object],
    size: Size,
    count: int,
) -> Iterator[Row]:
    """One row a subject; one that fails, for want of memory or of a kernel, says why."""
    steps = {
        name: Step(partial(act, subject), partial(deepcopy, subject.batch(size, count)))
        for name, subject in subjects.items()
    }
    timings = interleaved(steps, runs=plan.runs, device=plan.device)
    first = next(iter(timings.values()))
    for name, subject in subjects.items():
        row, timing = _described(what, name, subject, size, count), timings[name]
        if isinstance(timing, Exception):
            row["error"] = _told(timing)
        else:
            row |= _measured(timing, count)
            if isinstance(first, Timing):
                row |= dict(ratio=timing.ratio(first), cpu_ratio=timing.cpu_ratio(first))
            if plan.memory:
                step = steps[name]
                taken = peak_bytes(partial(step.run, step.prepare()), plan.device)
                held = held_bytes(subject.model, subject.optimiser if what == "train" else None)
                row["peak_mb"] = round((held + taken) / 2**20, 1)
        yield row


def _best(plan: Plan, name: str, subject: Subject, size: Size) -> Iterator[Row]:
    """Frames/s of batches that double, until they gain nothing or memory ends."""
    best, count = 0.0, 1
    while count <= plan.most:
        (row,) = _rows(
            replace(plan, memory=False, runs=min(plan.runs, 5)),
            "predict",
            {name: subject},
            Subject.predict,
            size,
            count,
        )
        if "error" in row and best:
            return
        yield row
        if "error" in row or row["frames_per_s"] < _NO_GAIN * best:
            return
        best, count = max(best, row["frames_per_s"]), 2 * count


def _described(what: str, name: str, subject: Subject, size: Size, count: int) -> dict[str, Any]:
    return dict(
        what=what,
        model=name,
        size=f"{size[0]}x{size[1]}",
        batch=count,
        precision=subject.precision,
        parameters_m=round(subject.parameters / 1e6, 3),
    )


def _measured(timing: Timing, count: int) -> dict[str, Any]:
    return dict(
        ms=1000 * timing.seconds,
        cpu_ms=1000 * timing.cpu_seconds,
        frames_per_s=count / timing.seconds,
        iterations_per_s=1 / timing.seconds,
    )


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
