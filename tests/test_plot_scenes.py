"""The sheet of test scenes: what each column shows."""

import importlib
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from tiny import build_tiny
from tiny_config import shrink

from projects.cpm_avs.launch import plain_errors
from projects.cpm_avs.visualization import plots

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def models(tmp_path):
    """Config and checkpoint of a small CPM and of a small baseline, with random weights."""
    found = {}
    for name in ("cpm_mbv2-yamnet_stamps", "ablation/cpm_mbv2-yamnet_stamps_baseline"):
        cfg = shrink(Config.fromfile(ROOT / "configs" / f"{name}.py"), narrow=True)
        cfg.test_dataloader.dataset.num_scenes = 6
        checkpoint = tmp_path / name[:3]
        config = tmp_path / f"{name[:3]}.py"
        cfg.dump(config)
        torch.save(build_tiny(cfg.model).state_dict(), checkpoint)
        found[name[:3]] = [str(config), str(checkpoint)]
    return found


@pytest.fixture
def tool():
    return importlib.import_module("projects.cpm_avs.commands.plot_scenes")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["no_such", "x.pth"], "no config 'no_such'"),
        (["cpm_mbv2-yamnet_stamps", "none.pth"], "none.pth: no such checkpoint"),
    ],
)
def test_errors_are_one_sentence(tool, tmp_path, arguments, message):
    with pytest.raises(SystemExit, match=f"error: {message}"), plain_errors():
        tool.main([*arguments, "--out", str(tmp_path / "scenes.png")])


def test_a_baseline_stands_beside_the_model(tool, models, tmp_path, monkeypatch):
    drawn = []

    def sheet(rows, classes):
        drawn.extend(rows)
        return plots.contact_sheet(rows, classes)

    monkeypatch.setattr(tool, "contact_sheet", sheet)
    out = tmp_path / "scenes.png"
    tool.main([*models["cpm"], "--out", str(out), "--num", "2", "--baseline", *models["abl"]])
    assert out.stat().st_size > 10_000
    assert [row.title.rpartition("/")[2] for row in drawn] == ["00000", "00003"]
    for row in drawn:
        assert list(row.predictions) == ["baseline", "prediction"]
        shapes = {labels.shape for labels in (row.truth, *row.predictions.values())}
        assert shapes == {row.picture.shape[:2]}
    # Two models with other weights: the columns are not one prediction twice.
    assert any(
        (row.predictions["baseline"] != row.predictions["prediction"]).any() for row in drawn
    )

    drawn.clear()
    tool.main([*models["cpm"], "--out", str(out), "--num", "1"])
    assert list(drawn[0].predictions) == ["prediction"]
