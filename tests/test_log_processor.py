"""What a training iteration prints, and what goes to the files."""

import json
import re

import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from tiny import tiny_model_cfg
from tiny_run import write_config

from projects.cpm_avs.training.log_processor import loss_terms


def test_losses_are_summed_over_layers_in_the_order_of_the_terms():
    losses = {
        "loss": 99.0, "grad_norm": 7.0, "loss_cls": 1.0, "d0.loss_cls": 0.5, "d12.loss_cls": 0.25,
        "loss_dice": 2.0, "vcp.loss_cls": 4.0, "vcp.d0.loss_dice": 8.0, "loss_acp": 16.0,
    }  # fmt: skip
    terms = loss_terms(losses)
    assert list(terms.items()) == [("cls", 1.75), ("dice", 2.0), ("vcp", 12.0), ("acp", 16.0)]


def test_the_screen_has_the_terms_and_the_files_every_loss(tmp_path):
    cfg = Config.fromfile(
        write_config(tmp_path / "run.py", tiny_model_cfg(), batch_size=2, max_iters=4)
    )
    cfg.work_dir = str(tmp_path / "work")
    Runner.from_cfg(cfg).train()
    (log,) = (tmp_path / "work").glob("*/*.log")
    last = [line for line in log.read_text().splitlines() if "Iter(train)" in line][-1]
    names = re.findall(r"  (\w+): ", last)
    assert names == [
        "lr", "eta", "time", "memory", "loss", "cls", "focal", "dice", "vcp", "acp", "pcl"
    ]  # fmt: skip

    (scalars,) = (tmp_path / "work").glob("*/vis_data/scalars.json")
    logged = [json.loads(line) for line in scalars.read_text().splitlines()][-1]
    assert {"d0.loss_cls", "vcp.d0.loss_dice", "grad_norm", "data_time", "memory"} <= logged.keys()
    terms = {name: value for name, value in logged.items() if name.startswith("terms/")}
    assert sum(terms.values()) == pytest.approx(logged["loss"], rel=1e-4)
    for name, value in terms.items():
        (printed,) = re.findall(rf"  {name.removeprefix('terms/')}: (\S+)", last)
        assert float(printed) == pytest.approx(value, abs=6e-4)
