"""What would train or resume wrongly without a word: workers, the schedule."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from projects.cpm_avs.launch import ResumedCheckpointHook, read_config
from projects.cpm_avs.safe_checkpoint import CheckpointError

ROOT = Path(__file__).resolve().parents[1]


def test_without_workers_none_persist() -> None:
    loaders = {f"{name}_dataloader.num_workers": 0 for name in ("train", "val", "test")}
    cfg = read_config(str(ROOT / "configs/cpm_mbv2-yamnet_stamps.py"), loaders)
    assert "persistent_workers" not in cfg.train_dataloader
    kept = read_config(str(ROOT / "configs/cpm_mbv2-yamnet_stamps.py"))
    assert kept.train_dataloader.persistent_workers is True


def run(folder: Path, iterations: int, **schedule: Any) -> None:
    cfg = Config.fromfile(ROOT / "tests/configs/toy_iter.py")
    cfg.merge_from_dict({"train_cfg.max_iters": iterations, "train_cfg.val_interval": 100})
    cfg.default_hooks.checkpoint.update(interval=2, save_best=None)
    cfg.param_scheduler[0].update(schedule)
    cfg.work_dir, cfg.resume = str(folder), True
    cfg.experiment_name = f"{folder.name}-{iterations}-{schedule}"
    with DefaultScope.overwrite_default_scope("mmseg"):
        runner = Runner.from_cfg(cfg)
        runner.register_hook(ResumedCheckpointHook(source="latest"))
        runner.train()


def test_a_longer_schedule_is_refused_on_resume(tmp_path: Path) -> None:
    run(tmp_path, 4, end=4)
    with pytest.raises(CheckpointError, match=r"scheduler\.0 has (end=4|total_iters=3) there and"):
        run(tmp_path, 8, end=8)
    with pytest.raises(CheckpointError, match="power=0.9 there and 0.5 in the config"):
        run(tmp_path, 4, end=4, power=0.5)
    with pytest.raises(CheckpointError, match="come to 0 after 4 of 8 iterations"):
        run(tmp_path, 8, end=4)
    run(tmp_path, 4, end=4)  # nothing left to do


def test_an_optimiser_with_other_groups_is_refused_on_resume() -> None:
    own, other = (
        [dict(params=list(range(n)), lr=1.0) for n in sizes] for sizes in ((2, 1), (1, 2))
    )
    runner = SimpleNamespace(
        optim_wrapper=SimpleNamespace(optimizer=SimpleNamespace(param_groups=own))
    )
    hook = ResumedCheckpointHook(source="iter_7.pth")
    hook._check_groups(runner, dict(optimizer=dict(param_groups=own)))
    with pytest.raises(CheckpointError, match=r"iter_7.*2 groups of 3 parameters.*load_from"):
        hook._check_groups(runner, dict(optimizer=dict(param_groups=other)))
