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


@pytest.mark.parametrize(
    ("config", "final", "kill_at", "amid", "val_interval"),
    [
        ("toy_iter", "iter_24.pth", 24, "validation", 24),
        ("toy_iter", "iter_24.pth", 16, "validation", 8),
        ("toy_epoch", "epoch_8.pth", 24, "validation", 8),
        ("toy_iter", "iter_24.pth", 16, "save", 6),
    ],
)
def test_a_run_that_is_killed_amid_its_other_work_resumes_to_the_bit(
    tmp_path: Path, config: str, final: str, kill_at: int, amid: str, val_interval: int
) -> None:
    """The interrupted validation is done: at the end, it alone knows of the best checkpoint."""
    options = {"train_cfg.val_interval": val_interval}
    check_resume(
        tmp_path, f"tests/configs/{config}.py", final, kill_at=kill_at, amid=amid, **options
    )


def test_a_killed_run_by_iterations_resumes_to_the_bit(tmp_path: Path) -> None:
    workers = {"train_dataloader.num_workers": 2, "train_dataloader.persistent_workers": True}
    check_resume(
        tmp_path, "tests/configs/toy_iter.py", "iter_24.pth", kill_at=15, twice=True, **workers
    )


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
    assert load_safely(tmp_path / last)["meta"]["iter"] == 8
    assert not list(tmp_path.glob("*.part"))
