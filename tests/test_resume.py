"""N + M iterations equal N, kill -9, resume, M: to the bit, on the CPU."""

from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from resuming import check_resume
from tiny import tiny_model_cfg
from tiny_run import write_config
from train_driver import ROOT

from projects.cpm_avs.safe_checkpoint import load_safely
from projects.cpm_avs.training.finite import NonFiniteLossError


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


#: A model that hears all that there is to hear.
STEREO = dict(
    data_preprocessor=dict(cross_spectrum=True),
    decode_head=dict(stereo_position=dict(type="PhasePosition")),
)


@pytest.mark.parametrize(("ranks", "settings", "channels"), [(1, {}, 1), (2, STEREO, 2)])
def test_a_killed_run_of_cpm_resumes_to_the_bit(
    tmp_path: Path, ranks: int, settings: dict[str, Any], channels: int
) -> None:
    model = tiny_model_cfg(**settings)
    config = write_config(tmp_path / "cpm.py", model, batch_size=2, max_iters=8, channels=channels)
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
