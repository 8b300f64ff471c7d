"""N + M iterations equal N, kill -9, resume, M: to the bit, on the CPU."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from tiny import tiny_model_cfg
from tiny_run import write_config
from train_driver import ROOT, finish, start, steps

from projects.cpm_avs.safe_checkpoint import load_safely
from projects.cpm_avs.training.finite import NonFiniteLossError


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
    folder: Path, config: str | Path, final: str, *, kill_at: int, ranks: int = 1, **options: Any
) -> None:
    """Run whole; run, kill, resume; compare all steps and the last checkpoints."""
    whole, broken = folder / "whole", folder / "broken"
    running = start(config, whole, ranks=ranks, options=options)
    killed = start(config, broken, ranks=ranks, options=options, kill_at=kill_at)
    finish(killed, broken, -signal.SIGKILL)
    saved_at = load_safely((broken / "last_checkpoint").read_text())["meta"]["iter"]
    assert 0 < saved_at < kill_at == len(steps(broken))
    options = {**options, "randomness.seed": 8}  # the resumed run's own seed must not matter
    finish(start(config, broken, ranks=ranks, options=options, resume=True), broken)
    finish(running, whole)

    for rank in range(ranks):
        expected = steps(whole, rank)
        assert steps(broken, rank) == expected[:kill_at] + expected[saved_at:]
    assert stability(broken) == stability(whole)
    left, right = load_safely(whole / final), load_safely(broken / final)
    assert {"state_dict", "optimizer", "param_schedulers", "random_states"} < left.keys()
    assert len(left["random_states"]) == ranks
    assert_same(left, right)


def test_a_killed_run_by_iterations_resumes_to_the_bit(tmp_path: Path) -> None:
    workers = {"train_dataloader.num_workers": 2, "train_dataloader.persistent_workers": True}
    check_resume(tmp_path, "tests/configs/toy_iter.py", "iter_24.pth", kill_at=15, **workers)


def test_a_killed_run_by_epochs_resumes_to_the_bit(tmp_path: Path) -> None:
    check_resume(tmp_path, "tests/configs/toy_epoch.py", "epoch_8.pth", kill_at=14)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_killed_run_of_cpm_resumes_to_the_bit(tmp_path: Path, ranks: int) -> None:
    config = write_config(tmp_path / "cpm.py", tiny_model_cfg(), batch_size=2, max_iters=8)
    check_resume(tmp_path, config, "iter_8.pth", kill_at=6, ranks=ranks)


@pytest.fixture
def toy_config(tmp_path: Path) -> Config:
    config = Config.fromfile(ROOT / "tests" / "configs" / "toy_iter.py")
    config.work_dir = str(tmp_path)
    config.experiment_name = tmp_path.name
    with DefaultScope.overwrite_default_scope("mmseg"):
        yield config


def test_a_loss_that_is_nan_stops_and_leaves_the_last_checkpoint_whole(
    toy_config: Config, tmp_path: Path
) -> None:
    toy_config.model.nan_at = [12]
    runner = Runner.from_cfg(toy_config)
    with pytest.raises(NonFiniteLossError, match=r"loss_extra = nan[\s\S]*\d\.png \(clip_id clip"):
        runner.train()
    assert runner.iter == 11
    assert all(parameter.isfinite().all() for parameter in runner.model.parameters())
    last = (tmp_path / "last_checkpoint").read_text()
    assert load_safely(last)["meta"]["iter"] == 8
    assert not list(tmp_path.glob("*.part"))
