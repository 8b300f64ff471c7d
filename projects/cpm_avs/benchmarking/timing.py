"""Steps of several candidates in turn, timed by the wall clock and in CPU seconds."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Step:
    """What is timed, and what has to be made anew for each run without being timed.

    Attributes:
        run: Called with what ``prepare`` gave.
        prepare: A step may change its input, so that each run gets one of its own.
    """

    run: Callable[[Any], object]
    prepare: Callable[[], Any] = lambda: None


@dataclass(frozen=True)
class Timing:
    """Runs of one step.

    Attributes:
        wall: Seconds of the wall clock, one a run.
        cpu: Seconds of all of the process's threads, one a run.
    """

    wall: Sequence[float]
    cpu: Sequence[float]

    @property
    def seconds(self) -> float:
        """Median of the wall clock."""
        return statistics.median(self.wall)

    @property
    def cpu_seconds(self) -> float:
        """Median of the CPU time."""
        return statistics.median(self.cpu)

    def ratio(self, first: "Timing") -> float:
        """Median of the runs' ratios to those of another step, each to the one beside it."""
        return statistics.median(a / b for a, b in zip(self.wall, first.wall, strict=True))

    def cpu_ratio(self, first: "Timing") -> float:
        """As ``ratio``, of CPU time, which another program's load distorts less."""
        return statistics.median(a / b for a, b in zip(self.cpu, first.cpu, strict=True))


def synchroniser(device: str | torch.device) -> Callable[[], None]:
    """Waits for all work that a device was given; nothing to wait for on the CPU."""
    if torch.device(device).type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return lambda: None


def interleaved(
    steps: Mapping[str, Step], *, runs: int, device: str | torch.device, warm_up: int = 2
) -> dict[str, Timing | Exception]:
    """Time steps in turn, so that a slow moment of the machine hits all of them.

    Args:
        steps: By name.
        runs: Of each step that count.
        device: Whose work belongs to a step: it is waited for before and after.
        warm_up: Runs of each step before those that count.

    Returns:
        Their times; of a step that failed, for want of memory or of a kernel, its error, and the
        others went on.
    """
    synchronise = synchroniser(device)
    wall: dict[str, list[float]] = {name: [] for name in steps}
    cpu: dict[str, list[float]] = {name: [] for name in steps}
    failures: dict[str, Exception] = {}
    for turn in range(warm_up + runs):
        for name, step in steps.items():
            if name in failures:
                continue
            prepared = step.prepare()
            synchronise()
            start, cpu_start = time.perf_counter(), time.process_time()
            try:
                step.run(prepared)
                synchronise()
            except (RuntimeError, ValueError) as error:  # no memory is a RuntimeError
                failures[name] = error
                continue
            seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
            if turn >= warm_up:
                wall[name].append(seconds)
                cpu[name].append(cpu_seconds)
    return {name: failures.get(name) or Timing(wall[name], cpu[name]) for name in steps}
