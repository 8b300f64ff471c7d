"""The inferencer on made videos, with a model whose answer is known, and on real ones."""

import json
import weakref
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from clips import make_clip, moving_square, tone
from fake_segmentor import CLASSES
from mmengine.config import Config
from mmseg.registry import DATASETS
from PIL import Image

from projects.cpm_avs.datasets.benchmarks.benchmark_transforms import ResizeForProtocol
from projects.cpm_avs.inference import AVSInferencer
from projects.cpm_avs.inference.model_loading import load_config
from projects.cpm_avs.inference.preparation import Preparation
from projects.cpm_avs.inference.sources import open_sources
from projects.cpm_avs.media.video_io import Frame, probe, read_frames

ROOT = Path(__file__).resolve().parents[1]


def test_video(tmp_path, inferencer):
    clip = make_clip(tmp_path / "clip.mp4", frames=50, sound=tone(2, 0.5, 1.2))
    result = inferencer(clip, out_dir=tmp_path / "out", strip=True)
    assert result.num_frames == len(result.frames) == 50
    assert inferencer.model.batches == [4] * 12 + [2]
    assert [frame.time for frame in result.frames] == pytest.approx([k / 25 for k in range(50)])

    frame = result.frames[20]  # 0.8 s: loud
    (found,) = frame.objects
    assert (found.name, found.label) == ("green square", 1)
    assert found.score == pytest.approx(0.8, abs=1e-5)
    assert found.area == pytest.approx(144 / (64 * 48), rel=0.2)
    truth = (moving_square(20) == (0, 200, 0)).all(-1)
    overlap = (found.mask & truth).sum() / (found.mask | truth).sum()
    assert overlap > 0.8
    assert result.frames[2].objects == [] and result.frames[45].objects == []

    (segment,) = result.segments
    # The window of 0.1 s is loud a little before and after.
    assert segment.start == pytest.approx(0.5, abs=0.09)
    assert segment.end == pytest.approx(1.2, abs=0.09)
    assert result.summary() == f"green square {segment.start:.1f}-{segment.end:.1f} s"

    masks = sorted(result.files["masks"].iterdir())
    assert len(masks) == 50
    with Image.open(masks[20]) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), frame.class_map)
    report = json.loads(result.files["report"].read_text())
    assert report["classes"] == list(CLASSES) and len(report["frames"]) == 50
    assert report["frames"][20]["objects"][0]["name"] == "green square"
    assert report["frames"][20]["mask"] == masks[20].name
    assert report["sounding"][0]["start"] == pytest.approx(segment.start, abs=1e-3)
    info = probe(result.files["overlay"])
    assert (info.frames, info.rate, info.width, info.height) == (50, 25, 64, 48 + 48)
    assert info.duration == pytest.approx(2, abs=0.04) and info.channels == 1
    assert result.files["figure"].stat().st_size > 1000


def test_overlay_keeps_size_and_colours_the_object(tmp_path, inferencer):
    sound = tone(1, 0, 1)
    clip = make_clip(tmp_path / "clip.mp4", frames=12, size=(256, 192), sound=sound)
    result = inferencer(clip, overlay=tmp_path / "new" / "overlay.mp4", keep_frames=False)
    assert result.frames == [] and result.files == {"overlay": tmp_path / "new" / "overlay.mp4"}
    frames = list(read_frames(result.files["overlay"]))
    assert frames[0].image.shape == (192, 256, 3)
    before, after = moving_square(5, 256, 192), frames[5].image
    changed = np.abs(before.astype(int) - after).max(-1) > 40
    green = (before == (0, 200, 0)).all(-1)
    assert changed[green].mean() > 0.7 and changed[150:, 200:].mean() < 0.01


def test_fps_holds_masks(tmp_path, inferencer):
    clip = make_clip(tmp_path / "clip.mp4", frames=50, sound=tone(2, 0, 2))
    result = inferencer(clip, fps=5, overlay=tmp_path / "o.mp4")
    assert [frame.time for frame in result.frames] == pytest.approx([k / 5 for k in range(10)])
    assert probe(tmp_path / "o.mp4").frames == 50
    (opened,) = open_sources(clip)
    pairs = list(inferencer.stream(opened, fps=5))
    assert len(pairs) == 50
    assert all(frame.time - result.time < 0.2 for frame, result in pairs)
    # More than there are frames: all of them, once.
    assert len(inferencer(clip, fps=1000).frames) == 50


def test_fps_that_does_not_divide_the_rate(tmp_path, inferencer):
    clip = make_clip(tmp_path / "clip.mp4", frames=75, sound=tone(3, 0, 3))
    times = [frame.time for frame in inferencer(clip, fps=7).frames]
    assert len(times) == 21
    assert np.abs(np.array(times) - np.arange(21) / 7).max() <= 0.04


def test_few_frames_are_held_at_a_time(tmp_path, inferencer):
    clip = make_clip(tmp_path / "clip.mp4", frames=120, sound=tone(5, 0, 5))
    (opened,) = open_sources(clip)
    alive: set[int] = set()
    most = 0

    def counted(start, end):
        nonlocal most
        for number, frame in enumerate(opened.frames(start, end)):
            alive.add(number)
            weakref.finalize(frame, alive.discard, number)
            most = max(most, len(alive))
            yield frame

    for _ in inferencer.stream(replace(opened, frames=counted), fps=1):
        pass
    assert 16 <= most <= 2 * 16 + 1


def test_start_and_end(tmp_path, inferencer):
    clip = make_clip(tmp_path / "clip.mp4", frames=100, sound=tone(4, 1.5, 2.5))
    result = inferencer(clip, start=1.0, end=2.0, overlay=tmp_path / "o.mp4")
    assert result.frames[0].time == pytest.approx(1.0) and result.num_frames == 25
    assert probe(tmp_path / "o.mp4").duration == pytest.approx(1.0, abs=0.04)
    (segment,) = result.segments
    assert segment.start == pytest.approx(1.5, abs=0.09) and segment.end == pytest.approx(2.0)
    for wrong in (dict(start=9.0), dict(start=2.0, end=1.0), dict(start=-1.0)):
        with pytest.raises(ValueError, match="lasts 4.00 s"):
            inferencer(clip, **wrong)
    with pytest.raises(ValueError, match="fps=0"):
        inferencer(clip, fps=0)


def test_the_protocols_size_is_made_as_in_the_test():
    step = dict(type="ResizeForProtocol", scale=(24, 24))
    config = Config(dict(test_pipeline=[step]))
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    batch = Preparation.from_config(config)([Frame(0, image)], [np.zeros((1, 9))], (48, 64))
    resized = ResizeForProtocol(scale=(24, 24))(dict(img=image, img_shape=(48, 64)))["img"]
    assert np.array_equal(batch["inputs"]["img"][0].numpy().transpose(1, 2, 0), resized)


def test_portrait_and_odd_size(tmp_path, inferencer):
    clip = make_clip(tmp_path / "p.mp4", frames=3, rotation=90, sound=tone(0.2, 0, 0.2))
    result = inferencer(clip, overlay=tmp_path / "o.mp4")
    assert result.frames[0].class_map.shape == (64, 48)
    assert next(read_frames(tmp_path / "o.mp4")).image.shape[:2] == (64, 48)


def test_large_frames_are_scored_smaller(tmp_path, inferencer, monkeypatch):
    monkeypatch.setattr("projects.cpm_avs.inference.av_inferencer._MOST_SCORES", 3 * 24 * 32)
    clip = make_clip(tmp_path / "c.mp4", frames=3, sound=tone(0.2, 0, 0.2))
    result = inferencer(clip)
    assert inferencer.model.batches == [1, 1, 1]
    assert result.frames[0].class_map.shape == (48, 64)
    assert result.frames[0].objects[0].area == pytest.approx(144 / (64 * 48), rel=0.35)


def test_the_number_of_classes_neither_shrinks_masks_nor_splits_a_batch(monkeypatch):
    """The built-in model, said to know 71 classes, sees two frames of 720p."""
    inferencer = AVSInferencer(device="cpu")
    inferencer.classes = tuple(map(str, range(71)))
    given = []

    def noting(data, memory):
        given.append(predictor(data, memory))
        return given[-1]

    predictor = inferencer._predictor
    noting.draws_all_classes = predictor.draws_all_classes
    monkeypatch.setattr(inferencer, "_predictor", noting)
    frame = Frame(0.0, np.zeros((720, 1280, 3), np.uint8))
    length = inferencer.preparation.num_samples
    window = np.zeros((inferencer.preparation.channels, length), np.float32)
    results = inferencer.predict([frame] * 2, [window] * 2)
    (samples,) = given
    assert [one.pred_sem_seg.data.shape for one in samples] == [(1, 720, 1280)] * 2
    assert [one.class_map.shape for one in results] == [(720, 1280)] * 2


def test_a_frame_size_that_changes_midway(tmp_path, inferencer):
    clip = make_clip(tmp_path / "c.mp4", frames=6, sound=tone(0.24, 0, 0.24))
    (opened,) = open_sources(clip)

    def frames(start, end):
        for number, frame in enumerate(opened.frames(start, end)):
            size = (64, 48) if number < 4 else (128, 72)
            yield replace(frame, image=cv2.resize(frame.image, size))

    result = inferencer(replace(opened, frames=frames), out_dir=tmp_path / "out", strip=True)
    assert [frame.class_map.shape for frame in result.frames] == [(48, 64)] * 4 + [(72, 128)] * 2
    info = probe(result.files["overlay"])
    assert (info.frames, info.width, info.height) == (6, 64, 48 + 48)


def test_real_clips_have_frames_and_sound(samples_dir, inferencer, tmp_path):
    for clip in sorted((samples_dir / "clips").glob("*.mp4")):
        source = probe(clip)
        out = tmp_path / clip.name
        inferencer(clip, overlay=out, fps=1, start=2, end=4)
        made = probe(out)
        assert (made.width, made.height) == (source.width, source.height)
        # Times are kept as they are in the source, to the millisecond in some: over 2 s that shows.
        assert float(made.rate) == pytest.approx(float(source.rate), rel=0.005)
        assert made.duration == pytest.approx(2, abs=float(1 / source.rate))
        assert made.channels == source.channels


STAMPS = "cpm_mbv2-yamnet_stamps"


def test_built_in_model_sees_what_the_test_pipeline_sees(monkeypatch):
    """The committed weights, on test scenes: through the inferencer as through tools/test.py."""
    monkeypatch.chdir(ROOT)  # the data set's folder is named from there
    config = load_config(STAMPS)
    settings = dict(config.test_dataloader.dataset, num_scenes=6)
    inferencer = AVSInferencer(STAMPS, device="cpu")
    right = union = 0
    for item in DATASETS.build(settings):
        batch = dict(inputs={key: [value] for key, value in item["inputs"].items()})
        batch["data_samples"] = [item["data_samples"]]
        with torch.no_grad():
            (sample,) = inferencer.model.test_step(batch)
        image = item["inputs"]["img"].permute(1, 2, 0).numpy()
        (frame,) = inferencer((image, item["inputs"]["waveform"].numpy())).frames
        np.testing.assert_array_equal(frame.class_map, sample.pred_sem_seg.data[0])
        truth = item["data_samples"].gt_sem_seg.data[0].numpy()
        right += ((frame.class_map == truth) & (truth > 0)).sum()
        union += ((frame.class_map > 0) | (truth > 0)).sum()
    assert right / union > 0.3
