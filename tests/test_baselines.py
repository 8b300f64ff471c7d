"""The methods to compare with, on the built-in data: trained, resumed, tested, shown, exported."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from clips import click_track, make_clip
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.visualization import Visualizer
from mmseg.models.backbones import MobileNetV2
from mmseg.registry import DATASETS, HOOKS, METRICS
from resuming import check_resume
from tiny import OneStepBackbone, build_tiny
from torch import nn

import projects.cpm_avs.training  # noqa: F401  (registers the criteria)
from projects.cpm_avs.inference import AVSInferencer
from projects.cpm_avs.inference.export import ExportableModel, example_inputs, export_program
from projects.cpm_avs.launch import read_config

pytestmark = pytest.mark.usefixtures("bases_read_once")

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs" / "baselines"
SIZE = 64  # pixels a side
#: Configs on the built-in data.
STAMPS = [f"{name}_mbv2-yamnet_stamps" for name in ("avsegformer", "cavp", "tpavi")]


@pytest.fixture(autouse=True)
def _as_the_tools_run(monkeypatch):
    """From the root, from where the configs name their data."""
    monkeypatch.chdir(ROOT)
    init_default_scope("mmseg")


def shrunk(name: str, **loader: Any) -> Config:
    """A run of 4 iterations of 2 small scenes, without pretrained weights."""
    cfg = Config.fromfile(CONFIGS / f"{name}.py")
    cfg.model.backbone.init_cfg = cfg.model.audio_backbone.init_cfg = None
    for split in ("train", "val", "test"):
        one = cfg[f"{split}_dataloader"]
        one.update(batch_size=2, num_workers=0, persistent_workers=False)
        one.dataset.update(image_size=SIZE, num_scenes=2, silent_prob=0.0)
    if name.startswith("avsegformer"):
        cfg.model.decode_head.num_layers = 1
    cfg.train_cfg.update(max_iters=4, val_interval=4)
    cfg.default_hooks.checkpoint.interval = 2
    cfg.default_hooks.logger.interval = 1
    cfg.vis_backends = cfg.visualizer.vis_backends = [dict(type="LocalVisBackend")]
    return cfg


@pytest.mark.slow
@pytest.mark.parametrize("name", STAMPS)
def test_a_method_trains_resumes_tests_and_shows(name, tmp_path, monkeypatch):
    config = tmp_path / f"{name}.py"
    shrunk(name).dump(config)
    check_resume(tmp_path, config, "iter_4.pth", kill_at=3, matches=False)
    checkpoint = tmp_path / "whole" / "iter_4.pth"

    words = ["test.py", str(config), str(checkpoint), "--work-dir", str(tmp_path / "test")]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / "tools" / "test.py"), run_name="__main__")
    assert not stop.value.code
    scores = [p for p in (tmp_path / "test").glob("*/*.json") if p.stem == p.parent.name]
    assert {"dataset/mIoU", "avsbench/J&F"} < json.loads(scores[0].read_text()).keys()

    inferencer = AVSInferencer(str(config), checkpoint, device="cpu")
    clip = make_clip(tmp_path / "clip.mp4", frames=4, sound=click_track(1, (0.1,)))
    result = inferencer(clip, out_dir=tmp_path / "out")
    assert [frame.class_map.shape for frame in result.frames] == [(48, 64)] * 4
    assert (tmp_path / "out" / "clip").is_dir()


@pytest.mark.parametrize("name", STAMPS)
def test_a_method_is_exported(name, monkeypatch):
    # Each layer takes its time to trace, and the second block of a stage is like the first.
    stages = [(expansion, width, 1) for expansion, width, _ in MobileNetV2.arch_settings]
    monkeypatch.setattr(MobileNetV2, "arch_settings", stages)
    settings = shrunk(name).model
    settings.criterion = None
    model = build_tiny(settings).eval()
    if not name.startswith("cavp"):  # MobileNetV2 is the same in all
        model.backbone = OneStepBackbone(settings.decode_head.in_channels)
    for value in model.parameters():
        if not value.any():  # what begins at 0 has a part in the answer, too
            nn.init.normal_(value, std=0.1)
    samples = 96 * 160
    program = export_program(model, size=(64, 96), channels=1, num_samples=samples)
    img, waveform = example_inputs(size=(128, 64), channels=1, num_samples=samples)
    batch = dict(img=[img[0].flip(0)], waveform=[waveform[0]])  # the preprocessor turns BGR to RGB
    with torch.no_grad():
        expected = model.test_step(dict(inputs=batch))[0].seg_logits.data
        torch.testing.assert_close(ExportableModel(model)(img, waveform)[0], expected)
        given = program.module()(img, waveform)[0]
    torch.testing.assert_close(given, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.py")))
def test_every_config_is_whole(name):
    cfg = read_config(str(CONFIGS / f"{name}.py"))
    Visualizer.get_instance("test_baselines")  # the hook that draws asks for one
    for hook in cfg.default_hooks.values():
        HOOKS.build(hook)
    for split in ("train", "val", "test"):
        settings = cfg[f"{split}_dataloader"].dataset
        for part in (settings, settings.get("dataset", settings)):
            part.lazy_init = True
        dataset = DATASETS.build(settings)
        assert len(dataset.metainfo["classes"]) == cfg.model.decode_head.num_classes
    # No query says what it hears, so that there is nothing to cover.
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        for metric in evaluator if isinstance(evaluator, list) else [evaluator]:
            assert METRICS.get(metric.type).__name__ == "AVSMetric"
    tested = cfg.val_dataloader.dataset.get("split") == "test"
    assert cfg.default_hooks.checkpoint.save_best == (None if tested else "dataset/mIoU")
    # Rates are for the batch that the authors have: of clips all of it, else 2 on each of 8 GPUs.
    clips = cfg.train_dataloader.batch_size if "dataset" in cfg.train_dataloader.dataset else 16
    assert cfg.auto_scale_lr.base_batch_size == clips
