"""A run that is killed and resumed, held against one that was not."""

import json
import signal
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import HistoryBuffer
from train_driver import finish, start, steps

from projects.cpm_avs.safe_checkpoint import load_safely


def assert_same(left: Any, right: Any, where: str = "checkpoint") -> None:
    """Equal to the bit, all the way down; clocks and paths excepted."""
    if isinstance(left, HistoryBuffer):
        left, right = (sum((part.tolist() for part in h.data), []) for h in (left, right))
    assert type(left) is type(right), where
    if isinstance(left, dict):
        skip = {"meta", "runtime_info"} | {f"train/{key}" for key in ("time", "data_time")}
        skip |= {f"val/{key}" for key in ("time", "data_time")}
        assert left.keys() - skip == right.keys() - skip, where
        for key in left.keys() - skip:
            assert_same(left[key], right[key], f"{where}.{key}")
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right), where
        for index, pair in enumerate(zip(left, right, strict=True)):
            assert_same(*pair, f"{where}[{index}]")
    elif isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype and torch.equal(left, right), where
    else:
        assert left == right, where


def stability(work_dir: Path) -> dict[int, float]:
    """Logged STS by iteration; of a repeated iteration the last one."""
    lines = [
        json.loads(line)
        for path in sorted(work_dir.glob("*/vis_data/scalars.json"))
        for line in path.open()
    ]
    scores = {line["step"]: line["STS"] for line in lines if "STS" in line}
    assert scores
    return scores


def check_resume(
    folder: Path,
    config: str | Path,
    final: str,
    *,
    kill_at: int,
    amid: str = "step",
    twice: bool = False,
    ranks: int = 1,
    matches: bool = True,
    **options: Any,
) -> None:
    """Run whole; run, kill, resume (killed at its start, too, if ``twice``); compare.

    All steps are, and what is left at the end; the matching's stability where the model matches.
    """
    whole, broken = folder / "whole", folder / "broken"
    running = start(config, whole, ranks=ranks, options=options)
    killed = start(config, broken, ranks=ranks, options=options, kill_at=kill_at, amid=amid)
    finish(killed, broken, -signal.SIGKILL)
    saved_at = load_safely(broken / (broken / "last_checkpoint").read_text())["meta"]["iter"]
    done = len(steps(broken))
    assert 0 < saved_at <= kill_at and done in (kill_at - 1, kill_at)
    options = {**options, "randomness.seed": 8}  # the resumed run's own seed must not matter
    common: dict[str, Any] = dict(ranks=ranks, options=options, resume=True)
    if twice:
        killed = start(config, broken, kill_at=saved_at, amid="start", **common)
        finish(killed, broken, -signal.SIGKILL)
    finish(start(config, broken, **common), broken)
    finish(running, whole)

    for rank in range(ranks):
        expected = steps(whole, rank)
        assert steps(broken, rank) == expected[:done] + expected[saved_at:]
    assert not matches or stability(broken) == stability(whole)
    assert best(broken) == best(whole)
    left, right = load_safely(whole / final), load_safely(broken / final)
    assert {"state_dict", "optimizer", "param_schedulers", "random_states"} < left.keys()
    assert len(left["random_states"]) == ranks
    assert_same(left, right)


def best(work_dir: Path) -> list[str]:
    """The best checkpoint's file."""
    return sorted(path.name for path in work_dir.glob("best_*.pth"))
