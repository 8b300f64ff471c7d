"""Bytes that a model holds, and the most that a step takes on top of them."""

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile


def held_bytes(model: nn.Module, optimiser: OptimWrapper | None = None) -> int:
    """Parameters, buffers and gradients, and the optimiser's state where there is one."""
    parameters = list(model.parameters())
    gradients = (one.grad for one in parameters if one.grad is not None)
    held = _bytes([*parameters, *model.buffers(), *gradients])
    if optimiser is not None:
        several = isinstance(optimiser, OptimWrapperDict)
        for wrapper in optimiser.values() if several else [optimiser]:
            for state in wrapper.optimizer.state.values():
                held += _bytes(one for one in state.values() if isinstance(one, Tensor))
    return held


def peak_bytes(step: Callable[[], object], device: str | torch.device) -> int:
    """The most that a step has allocated at a time, above what was allocated before it.

    On the CPU torch's profiler counts tensors: what the process holds (its resident set) depends on
    what ran before and on what the C library keeps.
    """
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it prints that it starts and stops
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    return _highest(event for event in events if event.get("name") == "[memory]")


def _highest(events: Iterable[dict[str, Any]]) -> int:
    """The highest sum of what allocations, in the order of time, add and take away."""
    highest = now = 0
    for event in sorted(events, key=lambda event: event["ts"]):
        now += int(event["args"]["Bytes"])
        highest = max(highest, now)
    return highest


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(one.numel() * one.element_size() for one in tensors)
