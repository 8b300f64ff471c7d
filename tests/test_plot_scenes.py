"""The sheet of test scenes: what each column shows."""

import importlib
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import DATASETS
from tiny import build_tiny
from tiny_config import frames_of, shrink

from projects.cpm_avs.launch import plain_errors
from projects.cpm_avs.visualization import plots

ROOT = Path(__file__).resolve().parents[1]


def small(name, folder):
    """Config and checkpoint of a small model of six test scenes, with random weights."""
    cfg = shrink(Config.fromfile(ROOT / "configs" / f"{name}.py"), narrow=True)
    frames_of(cfg.test_dataloader.dataset).num_scenes = 6
    checkpoint = folder / Path(name).name
    config = checkpoint.with_suffix(".py")
    cfg.dump(config)
    torch.save(build_tiny(cfg.model).state_dict(), checkpoint)
    return [str(config), str(checkpoint)]


@pytest.fixture
def models(tmp_path):
    """A CPM and a baseline."""
    names = dict(cpm="cpm_mbv2-yamnet_stamps", abl="ablation/cpm_mbv2-yamnet_stamps_baseline")
    return {key: small(name, tmp_path) for key, name in names.items()}


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


@pytest.fixture
def drawn(tool, monkeypatch):
    """The rows of all sheets."""
    rows = []

    def sheet(own, classes):
        rows.extend(own)
        return plots.contact_sheet(own, classes)

    monkeypatch.setattr(tool, "contact_sheet", sheet)
    return rows


def test_of_a_clip_the_last_frame_is_drawn(tool, drawn, tmp_path):
    config, checkpoint = small("cpm_mbv2-yamnet_stamps_time", tmp_path)
    out = tmp_path / "scenes.png"
    tool.main([config, checkpoint, "--out", str(out), "--num", "2"])
    assert out.stat().st_size > 10_000
    clips = DATASETS.build(Config.fromfile(config).test_dataloader.dataset)
    for row, clip in zip(drawn, (clips[0], clips[3]), strict=True):
        last = clip[-1]["data_samples"]
        assert len(clip) == 2 and row.title == last.clip_id
        assert (row.truth == last.gt_sem_seg.data[0].numpy()).all()
        assert list(row.predictions) == ["prediction"]


def test_a_baseline_stands_beside_the_model(tool, models, drawn, tmp_path):
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
