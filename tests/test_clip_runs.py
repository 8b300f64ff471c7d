"""TPAVI on whole clips: trained on a few labels, resumed, tested, and on a video."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmark_trees import make_s4
from clips import click_track, make_clip
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from PIL import Image
from resuming import check_resume
from tiny import with_first_blocks
from typed_tools import run_tool, tool

from projects.cpm_avs.benchmarking.loading import loading_rows
from projects.cpm_avs.inference import AVSInferencer
from projects.cpm_avs.inference.export import ExportableModel, example_inputs, export_program

ROOT = Path(__file__).resolve().parents[1]
SIZE = 64


def narrow(tree: Path) -> Config:
    """``tpavi_r50_s4-224`` with few channels and small pictures, on a made tree."""
    cfg = Config.fromfile(ROOT / "configs" / "baselines" / "tpavi_r50_s4-224.py")
    cfg.custom_imports.imports.append("tiny")
    cfg.model.backbone.update(init_cfg=None, base_channels=8)
    cfg.model.audio_backbone = dict(type="TinyAudioBackbone")
    cfg.model.decode_head.update(in_channels=[32, 64, 128, 256], audio_channels=32, embed_dims=16)
    for split in ("train", "val", "test"):
        loader = cfg[f"{split}_dataloader"]
        loader.update(batch_size=1, num_workers=0, persistent_workers=False)
        loader.dataset.dataset.data_root = str(tree)
        (resize,) = [s for s in loader.dataset.dataset.pipeline if s["type"] == "ResizeForProtocol"]
        resize["scale"] = (SIZE, SIZE)
    cfg.train_cfg.update(max_epochs=4, val_interval=2)
    cfg.default_hooks.logger.interval = 1
    cfg.vis_backends = cfg.visualizer.vis_backends = [dict(type="LocalVisBackend")]
    return cfg


@pytest.mark.slow
def test_a_run_on_clips_resumes_to_the_bit_and_is_tested(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = tmp_path / "clips.py"
    narrow(make_s4(tmp_path / "s4")).dump(config)
    check_resume(tmp_path, config, "epoch_4.pth", kill_at=3, matches=False)

    out = tmp_path / "test"
    words = ["tools/test.py", str(config), str(tmp_path / "whole" / "epoch_4.pth")]
    words += ["--work-dir", str(out), "--out", str(out / "masks"), "--audio", "silence"]
    run_tool(monkeypatch, *words)
    (scores,) = (path for path in out.glob("*/*.json") if path.name != "metrics.json")
    found = json.loads(scores.read_text())
    assert {"dataset/mIoU", "avsbench/F_batch1", "robustness/silence/frame_FPR"} < found.keys()
    (report,) = out.glob("*/metrics.json")
    rows = json.loads(report.read_text())
    assert "silence" in json.dumps(rows)
    masks = sorted((out / "masks" / "e0").glob("*.png"))
    assert [path.name for path in masks] == [f"e0_{k}.png" for k in range(1, 6)]
    assert np.asarray(Image.open(masks[0])).shape == (SIZE, SIZE)

    tool("confusion_matrix").main([str(config), str(out / "masks"), str(out)])
    rows = [line.split(",")[1:] for line in (out / "confusion_matrix.csv").open()][1:]
    assert np.array(rows, int).sum() == 5 * SIZE * SIZE


def test_other_tools_take_clips(tmp_path, capsys):
    cfg = narrow(make_s4(tmp_path / "s4"))
    cfg.dump(tmp_path / "clips.py")
    words = [str(tmp_path / "clips.py"), "--output-dir", str(tmp_path / "drawn"), "--not-show"]
    tool("browse_dataset").main([*words, "--num", "1"])
    assert len(capsys.readouterr().out.split()) == 5
    (row,) = loading_rows({"clips": cfg}, tmp_path, versus_mmseg=False, runs=1, size=(48, 64))
    assert row["samples_per_s"] > 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    """A config and a checkpoint of random weights, whose attention does something."""
    init_default_scope("mmseg")
    folder = tmp_path_factory.mktemp("tpavi")
    cfg = narrow(make_s4(folder / "s4"))
    cfg.dump(folder / "clips.py")
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg.model, criterion=None))
    for attention in model.decode_head.attention:
        torch.nn.init.normal_(attention.out[1].weight)
    torch.save(model.state_dict(), folder / "clips.pth")
    return folder / "clips.py", folder / "clips.pth"


def scores(result) -> torch.Tensor:
    return torch.tensor([list(frame.scores.values()) or [0.0] for frame in result.frames])


def test_a_videos_frames_are_seen_in_clips_whatever_the_batch(trained, tmp_path):
    """Seven frames: five and two; also recorded."""
    clip = make_clip(tmp_path / "clip.mp4", frames=7, sound=click_track(1, (0.1,)))
    found = []
    for settings in (dict(batch_size=1), dict(batch_size=5), dict(recorded=True)):
        inferencer = AVSInferencer(*trained, device="cpu", **settings)
        assert inferencer.batch_size == 5
        found.append(scores(inferencer(clip)))
    torch.testing.assert_close(found[1], found[0])
    torch.testing.assert_close(found[2], found[0])
    large = AVSInferencer(*trained, device="cpu", batch_size=6)
    assert large.batch_size == 10
    torch.testing.assert_close(scores(large(clip)), found[0])
    # The first frame without the others of its clip is another one.
    alone = scores(large(clip, end=0.03))
    assert len(alone) == 1 and not torch.allclose(alone[0], found[0][0])


def test_a_slow_rate_waits_for_whole_clips(trained, tmp_path, monkeypatch):
    """Five of 24 frames, each of which holds for five: one clip, and more than others wait for."""
    clip = make_clip(tmp_path / "clip.mp4", frames=24, sound=click_track(1, (0.1,)))
    inferencer = AVSInferencer(*trained, device="cpu")
    rate = 24 / clip_seconds(inferencer, clip) / 5
    whole = scores(inferencer(clip, fps=rate))
    assert len(whole.unique(dim=0)) == 5
    monkeypatch.setattr("projects.cpm_avs.inference.av_inferencer._MOST_HELD_OF_CLIPS", 4)
    assert not torch.allclose(scores(inferencer(clip, fps=rate)), whole)


def clip_seconds(inferencer, clip) -> float:
    times = [frame.time for frame in inferencer(clip).frames]
    return times[-1] * len(times) / (len(times) - 1)


def test_a_clip_is_exported_whole(trained):
    model = with_first_blocks(AVSInferencer(*trained, device="cpu").model)
    sound = dict(channels=1, num_samples=15360)
    program = export_program(model, size=(64, 64), dynamic=False, **sound)
    img, waveform = example_inputs(size=(64, 64), count=5, **sound)
    with torch.no_grad():
        expected = ExportableModel(model)(img, waveform)
        given = program.module()(img, waveform)
        torch.testing.assert_close(given, expected, atol=1e-5, rtol=1e-4)
        batch = dict(img=list(img.flip(1)), waveform=list(waveform))
        predicted = model.test_step(dict(inputs=batch, data_samples=None))
    # Without samples each picture is by itself; the graph's five have seen one another.
    assert not torch.allclose(predicted[0].seg_logits.data, expected[0])
