"""The inferencer on made clips, with a model whose answer is known, and on real ones."""

import json
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
import torch
from clips import make_clip, moving_square
from fake_segmentor import CLASSES, write_model
from mmengine.config import Config
from mmseg.registry import DATASETS
from PIL import Image

from projects.cpm_avs.datasets.benchmarks.benchmark_transforms import ResizeForProtocol
from projects.cpm_avs.errors import BadSampleError
from projects.cpm_avs.inference import AVSInferencer
from projects.cpm_avs.inference.model_loading import load_config
from projects.cpm_avs.inference.preparation import Preparation
from projects.cpm_avs.inference.results import FrameResult
from projects.cpm_avs.inference.sources import open_sources
from projects.cpm_avs.inference.timeline import Timeline
from projects.cpm_avs.media.sound_io import read_sound
from projects.cpm_avs.media.video_io import Frame, probe, read_frames

ROOT = Path(__file__).resolve().parents[1]
TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44100) / 44100)[None].astype(np.float32)


def tone(duration: float, start: float, end: float) -> np.ndarray:
    """(1, n) at 44.1 kHz: 440 Hz between two seconds, else silence."""
    sound = np.zeros((1, round(duration * 44100)), np.float32)
    span = slice(round(start * 44100), round(end * 44100))
    sound[:, span] = np.resize(TONE, sound[:, span].shape)
    return sound


@pytest.fixture
def inferencer(tmp_path):
    return AVSInferencer(*write_model(tmp_path), device="cpu")


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


def test_no_sound_track(tmp_path, inferencer):
    clip = make_clip(tmp_path / "mute.mp4", frames=5)
    with pytest.raises(BadSampleError, match="mute.mp4.*no sound track.*--silent-ok"):
        inferencer(clip)
    result = inferencer(clip, silent_ok=True, out_dir=tmp_path / "out")
    assert result.segments == [] and result.summary() == "no object sounds"
    assert probe(result.files["overlay"]).channels == 0


def test_audio_takes_the_place_of_the_videos_own(tmp_path, inferencer):
    clip = make_clip(tmp_path / "mute.mp4", frames=25)
    other = make_clip(tmp_path / "other.mp4", sound=tone(1, 0, 1))
    result = inferencer(clip, audio=other, overlay=tmp_path / "o.mp4")
    assert result.summary() == "green square 0.0-1.0 s"
    assert probe(tmp_path / "o.mp4").channels == 2


def test_image_and_sound(tmp_path, inferencer):
    image = tmp_path / "still.jpg"
    cv2.imwrite(str(image), moving_square(0, 128, 96))
    sound = make_clip(tmp_path / "sound.mp4", sound=tone(1, 0.4, 0.6))
    for result in (inferencer((image, sound)), inferencer(image, audio=sound)):
        assert result.frames[0].time == pytest.approx(0.5, abs=0.03)
        assert [found.name for found in result.frames[0].objects] == ["green square"]
        assert result.frames[0].class_map.shape == (96, 128)
        assert result.summary() == "green square"
    assert inferencer((image, sound), start=0.1).frames[0].objects == []
    # Without a start it hears the middle, also of what --end leaves.
    early = inferencer(image, audio=sound, end=0.3, overlay=tmp_path / "o.png").frames[0]
    assert early.time == pytest.approx(0.15) and early.objects == []
    assert (tmp_path / "o.png").is_file()
    result = inferencer(image, audio=sound, out_dir=tmp_path / "out")
    with Image.open(result.files["overlay"]) as overlay:
        assert overlay.size == (128, 96) and result.files["overlay"].suffix == ".png"
    with pytest.raises(BadSampleError, match="still.jpg.*--audio"):
        inferencer(image)


def test_arrays(inferencer):
    frames = np.stack([moving_square(k) for k in range(4)])
    sound = tone(1, 0, 0.5)[0]
    result = inferencer((frames, (sound, 44100)))
    assert [frame.time for frame in result.frames] == pytest.approx([0.125, 0.375, 0.625, 0.875])
    assert [len(frame.objects) for frame in result.frames] == [1, 1, 0, 0]
    with pytest.raises(ValueError, match="uint8"):
        inferencer((frames.astype(np.float32), sound))
    with pytest.raises(ValueError, match="sound of shape"):
        inferencer((frames, np.zeros((3, 4, 5))))


def test_integer_sound_is_of_full_scale():
    sound = np.array([[0, 16384, -32768]], np.int16)
    (clip,) = open_sources((moving_square(0), sound))
    (heard,) = clip.sound(16000, 1, 0.0, 3 / 16000)
    assert heard.tolist() == [[0, 0.5, -1]]


def test_an_overlay_of_pictures_has_the_whole_sound(tmp_path, inferencer):
    frames = np.stack([moving_square(k) for k in range(2)])
    inferencer((frames, (tone(2, 0, 0.5)[0], 44100)), overlay=tmp_path / "o.mp4")
    made = probe(tmp_path / "o.mp4")
    assert made.duration == pytest.approx(2, abs=0.05)
    assert [frame.time for frame in read_frames(tmp_path / "o.mp4")] == pytest.approx([0, 1])
    loud = np.concatenate(list(read_sound(tmp_path / "o.mp4", sample_rate=16000, channels=1)), 1)
    assert np.abs(loud[0, 1600:6400]).max() > 0.4 > 0.05 > np.abs(loud[0, 9600:]).max()


@pytest.mark.parametrize("name", ["o", "o.png", "o.part"])
def test_an_overlay_needs_the_name_of_a_video(tmp_path, inferencer, name):
    clip = make_clip(tmp_path / "clip.mp4", frames=3, sound=tone(0.2, 0, 0.2))
    with pytest.raises(ValueError, match=f"{name}: the overlay is a video; give .*mp4"):
        inferencer(clip, overlay=tmp_path / name)


def test_the_protocols_size_is_made_as_in_the_test():
    step = dict(type="ResizeForProtocol", scale=(24, 24))
    config = Config(dict(test_pipeline=[step]))
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    batch = Preparation.from_config(config)([Frame(0, image)], [np.zeros((1, 9))], (48, 64))
    resized = ResizeForProtocol(scale=(24, 24))(dict(img=image, img_shape=(48, 64)))["img"]
    assert np.array_equal(batch["inputs"]["img"][0].numpy().transpose(1, 2, 0), resized)


def test_folder_and_list(tmp_path, inferencer):
    folder = tmp_path / "folder"
    folder.mkdir()
    make_clip(folder / "b.mp4", frames=5, sound=tone(0.2, 0, 0.2))
    cv2.imwrite(str(folder / "a.jpg"), moving_square(0))
    make_clip(folder / "sound.mp4", frames=3, sound=tone(1, 0, 1)).rename(folder / "a.m4a")
    results = inferencer(folder, out_dir=tmp_path / "out")
    assert sorted(result.name for result in results) == ["a", "b"]
    twice = inferencer([folder / "b.mp4", folder / "b.mp4"], out_dir=tmp_path / "two")
    assert {result.files["report"].parent.name for result in twice} == {"b", "b_2"}
    renamed = make_clip(tmp_path / "b_2.mp4", frames=5, sound=tone(0.2, 0, 0.2))
    clips = [folder / "b.mp4", folder / "b.mp4", renamed]
    folders = [one.files["report"].parent.name for one in inferencer(clips, out_dir=tmp_path / "3")]
    assert folders == ["b", "b_2", "b_2_2"]
    with pytest.raises(ValueError, match="one file for 2 clips"):
        inferencer(folder, overlay=tmp_path / "o.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadSampleError, match="holds no video"):
        inferencer(tmp_path / "empty")


def test_the_other_clips_go_on(tmp_path, inferencer):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "broken.mp4").write_bytes(b"a letter" * 99)
    make_clip(folder / "good.mp4", frames=5, sound=tone(0.2, 0, 0.2))
    make_clip(folder / "short.mp4", frames=2, sound=tone(0.08, 0, 0.08))
    make_clip(folder / "silent.mp4", frames=3)
    missing = tmp_path / "missing.mp4"
    errors, seen = [], []
    (result,) = inferencer(
        [folder, missing],
        out_dir=tmp_path / "out",
        start=0.1,
        on_error=errors.append,
        progress=lambda clip, done, total: seen.append((clip.name, done, total)),
    )
    assert result.name == "good" and seen == [("good", 1, 2), ("good", 2, 2)]
    messages = [str(error) for error in errors]
    named = ["broken.mp4", "silent.mp4: has no", f"{missing}: does not", "'short'"]
    assert [name in message for name, message in zip(named, messages, strict=True)] == [True] * 4
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good"]
    with pytest.raises(BadSampleError, match=r"broken\.mp4"):
        inferencer(folder)
    # Of one source there are no others, so the error is raised.
    with pytest.raises(BadSampleError, match=r"broken\.mp4"):
        inferencer(folder / "broken.mp4", on_error=errors.append)


def test_an_image_is_read_when_its_turn_comes(tmp_path):
    """All of a folder's images at once would not fit into the memory."""
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), moving_square(0))
    (clip,) = open_sources((picture, np.zeros(16000, np.float32)))
    cv2.imwrite(str(picture), moving_square(20))
    (frame,) = clip.frames(0.0, None)
    np.testing.assert_array_equal(frame.image, moving_square(20))


def test_avsbench_folder(tmp_path, inferencer):
    """Frame k goes with second k; labels beside the frames are left alone."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for second in (0, 1, 2, 10):
        cv2.imwrite(str(folder / f"{second}.jpg"), moving_square(second))
        cv2.imwrite(str(folder / f"{second}.png"), np.zeros((48, 64), np.uint8))
    make_clip(tmp_path / "s.mp4", sound=tone(4, 2, 4)).rename(folder / "audio.m4a")
    (result,) = inferencer(folder)
    assert [frame.time for frame in result.frames] == pytest.approx([0.48, 1.48, 2.48, 10.48])
    assert [len(frame.objects) for frame in result.frames] == [0, 0, 1, 0]
    assert result.summary() == "green square 2.0-10.0 s"  # as in the overlay, which holds masks
    (folder / "below").mkdir()
    (named,) = open_sources(folder / "below" / "..")
    assert named.name == "clip"
    (folder / "below").rmdir()
    # Another sound, in place of the folder's own or where there is none.
    other = make_clip(tmp_path / "other.mp4", sound=tone(4, 0, 1))
    for _ in range(2):
        (result,) = inferencer(folder, audio=other)
        assert [len(frame.objects) for frame in result.frames] == [1, 0, 0, 0]
        (folder / "audio.m4a").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("names", "seconds"),
    [
        (("3.jpg", "0.jpg", "5.jpg"), [0, 3, 5]),  # AVSBench-semantic, one is missing
        (("1.jpg", "2.jpg"), [1, 2]),
        (("v_1.png", "v_2.png", "v_10.png"), [0, 1, 9]),  # S4 and MS3 count from 1
        (("dog.mp4_2.png", "dog.mp4_4.png"), [1, 3]),
        (("frame_000000.png", "frame_000001.png"), [0, 1]),
    ],
)
def test_a_numbered_frame_is_heard_at_its_own_second(tmp_path, names, seconds):
    (tmp_path / "clip" / "frames").mkdir(parents=True)
    for name in names:
        cv2.imwrite(str(tmp_path / "clip" / "frames" / name), moving_square(0))
    sound = make_clip(tmp_path / "s.mp4", sound=tone(2, 0, 2))
    sound.rename(tmp_path / "clip" / "audio.m4a")
    (clip,) = open_sources(tmp_path / "clip")
    frames = list(clip.frames(0.0, None))
    assert clip.name == "clip" and clip.duration >= seconds[-1] + 1
    assert [frame.shown for frame in frames] == seconds
    assert [frame.time for frame in frames] == pytest.approx([k + 0.48 for k in seconds])


@pytest.mark.parametrize("names", [("a.jpg", "b.jpg"), ("a_1.jpg", "b_1.jpg"), ("1.jpg", "x.jpg")])
def test_frames_without_a_number_of_their_own_are_refused(tmp_path, names):
    for name in names:
        cv2.imwrite(str(tmp_path / name), moving_square(0))
    make_clip(tmp_path / "s.mp4", sound=tone(1, 0, 1)).rename(tmp_path / "sound.m4a")
    with pytest.raises(BadSampleError, match="not numbered.*0.jpg, 1.jpg"):
        open_sources(tmp_path)


def test_the_timeline_of_pictures_is_that_of_their_overlay(inferencer):
    """Each of four pictures stands for a second of the sound, and is heard in its middle."""
    pictures = np.stack([moving_square(index) for index in range(4)])
    result = inferencer((pictures, (tone(4, 1, 3), 44100)))
    assert [frame.time for frame in result.frames] == [0.5, 1.5, 2.5, 3.5]
    assert result.summary() == "green square 1.0-3.0 s"


def test_pictures_and_sounds_of_impossible_sizes_are_named(tmp_path):
    """A size that no picture has, and a sound shorter than a sample at 16 kHz."""
    picture, sound = tmp_path / "a.jpg", tmp_path / "a.wav"
    cv2.imwrite(str(picture), moving_square(0))
    soundfile.write(sound, np.zeros(1), 48000)
    with pytest.raises(BadSampleError, match=r"a\.wav.*shorter"):
        open_sources(picture, audio=sound)
    content = picture.read_bytes()
    size = content.index(b"\xff\xc0") + 5
    picture.write_bytes(content[:size] + b"\xea\x60\xea\x60" + content[size + 4 :])
    with pytest.raises(BadSampleError, match=r"a\.jpg: has more than 89478485 pixels"):
        open_sources(picture, audio=sound)


def test_names_with_digits_that_are_no_decimals_are_sorted_too(tmp_path):
    for name in ("1\N{SUPERSCRIPT TWO}3.mp4", "2.mp4", "10.mp4"):
        make_clip(tmp_path / name, sound=tone(1, 0, 1))
    assert [clip.name for clip in open_sources(tmp_path)][1:] == ["2", "10"]


def test_audio_takes_the_place_of_the_sounds_of_images(tmp_path, inferencer):
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.jpg"), moving_square(0))
        make_clip(tmp_path / "s.mp4", sound=tone(1, 0, 1)).rename(tmp_path / f"{name}.m4a")
    assert [len(one.frames[0].objects) for one in inferencer(tmp_path)] == [1, 1]
    silence = make_clip(tmp_path / "silence.mp4", sound=tone(1, 0, 0)).rename(tmp_path / "s.sound")
    assert [len(one.frames[0].objects) for one in inferencer(tmp_path, audio=silence)] == [0, 0]


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


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failure_leaves_no_half_result(tmp_path, inferencer, monkeypatch, error):
    """No half video, no report that says that nothing sounded; an earlier video stays."""
    clip = make_clip(tmp_path / "c.mp4", frames=20, sound=tone(1, 0, 1))
    out = tmp_path / "out"
    (earlier,) = inferencer([clip], out_dir=out)
    before = earlier.files["overlay"].read_bytes()
    calls = []

    def fail(*args):
        calls.append(args)
        if len(calls) > 1:
            raise error("out of memory")
        return original(*args)

    original = inferencer.predict
    monkeypatch.setattr(inferencer, "predict", fail)
    with pytest.raises(error):
        inferencer(clip, out_dir=out, overlay=tmp_path / "o.mp4")
    assert not list(tmp_path.glob("*o.*mp4")) and not earlier.files["report"].exists()
    calls.clear()
    with pytest.raises(error):
        inferencer(clip, out_dir=out)
    assert earlier.files["overlay"].read_bytes() == before
    left = {path.name for path in (out / "c").iterdir()}
    assert left == {".cpm_avs", "masks", "overlay.mp4", "sound.png"}


def test_what_is_finished_stays_when_the_figure_fails(tmp_path, inferencer, monkeypatch):
    clip = make_clip(tmp_path / "c.mp4", frames=5, sound=tone(0.2, 0, 0.2))

    def full(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(OSError, match="No space left"):
        inferencer(clip, out_dir=tmp_path / "out")
    assert probe(tmp_path / "out" / "c" / "overlay.mp4").frames == 5
    report = json.loads((tmp_path / "out" / "c" / "report.json").read_text())
    assert len(report["frames"]) == 5 and report["sounding"]


def test_the_source_is_never_written_to(tmp_path, inferencer):
    clip = make_clip(tmp_path / "c.mp4", frames=5, sound=tone(0.2, 0, 0.2))
    sound = make_clip(tmp_path / "sound.mp4", sound=tone(5, 0, 5))
    image = tmp_path / "still.png"
    cv2.imwrite(str(image), moving_square(0))
    (tmp_path / "link.mp4").symlink_to(clip)
    before = {path: path.read_bytes() for path in (clip, sound, image)}
    for source, options in (
        (clip, dict(overlay=clip)),
        (clip, dict(overlay=tmp_path / "link.mp4")),
        (clip, dict(overlay=sound, audio=sound)),
        (image, dict(overlay=image, audio=sound)),
    ):
        with pytest.raises(ValueError, match="the clip itself is read from it; write to another"):
            inferencer(source, **options)
    assert {path: path.read_bytes() for path in before} == before
    # Of two clips the second is read where the first one would be written.
    masks = inferencer(clip, out_dir=tmp_path / "out").files["masks"]
    sound.rename(masks / "sound.m4a")
    frames = {path: path.read_bytes() for path in masks.iterdir()}
    with pytest.raises(ValueError, match=r"frame_00000\d\.png: the clip itself"):
        inferencer([clip, masks], out_dir=tmp_path / "out")
    assert {path: path.read_bytes() for path in frames} == frames


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


def test_masks_of_an_earlier_run_are_removed(tmp_path, inferencer):
    clip = make_clip(tmp_path / "c.mp4", frames=25, sound=tone(1, 0, 1))
    for fps, count in ((None, 25), (2, 2)):
        result = inferencer(clip, out_dir=tmp_path / "out", fps=fps)
        masks = sorted(path.name for path in result.files["masks"].iterdir())
        report = json.loads(result.files["report"].read_text())
        assert masks == [frame["mask"] for frame in report["frames"]] and len(masks) == count


def test_a_clip_without_a_frame_is_no_success(tmp_path, inferencer):
    clip = make_clip(tmp_path / "c.mp4", frames=25, sound=tone(1, 0, 1))
    (opened,) = open_sources(clip)
    empty = replace(opened, frames=lambda start, end: iter(()))
    with pytest.raises(ValueError, match="'c' has no frame from 0 to 0.5 s"):
        inferencer(empty, end=0.5, out_dir=tmp_path / "out")
    left = {path.name for path in (tmp_path / "out" / "c").iterdir()}
    assert left == {".cpm_avs", "masks"}


class TestModelLoading:
    def test_class_count(self, tmp_path):
        config, _ = write_model(tmp_path)
        (tmp_path / "four").mkdir()
        _, checkpoint = write_model(tmp_path / "four", num_classes=4)
        with pytest.raises(ValueError, match="knows 4 classes, the config has 3"):
            AVSInferencer(config, checkpoint)

    def test_other_model(self, tmp_path):
        config, checkpoint = write_model(tmp_path)
        torch.save({"class_scores": torch.ones(7), "neck": torch.ones(1)}, checkpoint)
        with pytest.raises(ValueError, match=r"neck is not in the model.*\(7,\)"):
            AVSInferencer(config, checkpoint)

    def test_devices_that_are_not_there(self, tmp_path):
        files = write_model(tmp_path)
        for device in ("gpu", "cuda:99"):
            with pytest.raises(ValueError, match=f"device '{device}' can't be used here; give"):
                AVSInferencer(*files, device)

    def test_unknown_config(self):
        with pytest.raises(ValueError, match="no config 'cpm_r51_avss'"):
            AVSInferencer("cpm_r51_avss", "x.pth")

    def test_no_checkpoint(self, tmp_path):
        config, _ = write_model(tmp_path)
        with pytest.raises(ValueError, match="no checkpoint comes with 'fake_model'"):
            AVSInferencer(config)

    def test_built_in_checkpoint(self, tmp_path, monkeypatch):
        from projects.cpm_avs.inference import model_loading

        monkeypatch.setattr(model_loading, "ROOT", tmp_path)
        folder = tmp_path / "data" / "checkpoints"
        folder.mkdir(parents=True)
        for name in ("small-ss-1a2b3c4d.pth", "small-1a2b3c4d.pth", "small_2.pth"):
            (folder / name).touch()
        assert model_loading.find_checkpoint("small", None) == folder / "small-1a2b3c4d.pth"
        assert model_loading.find_checkpoint("small", "x.pth") == Path("x.pth")

    def test_without_the_training_part(self, tmp_path):
        config, checkpoint = write_model(tmp_path)
        clip = make_clip(tmp_path / "c.mp4", frames=3, sound=tone(0.2, 0, 0.2))
        program = (
            "import sys; sys.modules['projects.cpm_avs.training'] = None; import fake_segmentor; "
            "from projects.cpm_avs.inference import AVSInferencer; "
            f"print(AVSInferencer({str(config)!r}, {str(checkpoint)!r})({str(clip)!r}).summary())"
        )
        tests = Path(__file__).parent
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True,
            env={"PYTHONPATH": f"{tests}:{tests.parent}", "PATH": ""}, check=False,
        )  # fmt: skip
        assert "green square 0.0-0.1 s" in done.stdout, done.stderr


class TestTimeline:
    @staticmethod
    def run(labels: list[int], step: float = 0.1) -> list[tuple[int, float, float]]:
        timeline = Timeline(len(labels) * step)
        for index, label in enumerate(labels):
            class_map = np.full((4, 4), label, np.uint8)
            scores = {label: 0.5} if label else {}
            # Predicted for the middle of the time for which it is shown.
            frame = FrameResult((index + 0.5) * step, class_map, scores, ("", "a", "b"))
            timeline.add(frame, index * step)
        found = timeline.finish(len(labels) * step)
        return [(one.label, round(one.start, 3), round(one.end, 3)) for one in found]

    def test_stretches(self):
        assert self.run([0] * 5 + [1] * 10 + [2] * 5) == [(1, 0.5, 1.5), (2, 1.5, 2.0)]

    def test_short_pause_is_bridged_and_a_long_one_not(self):
        assert self.run([1] * 5 + [0] * 4 + [1] * 5) == [(1, 0.0, 1.4)]
        assert self.run([1] * 5 + [0] * 7 + [1] * 5) == [(1, 0.0, 0.5), (1, 1.2, 1.7)]

    def test_flicker(self):
        # Lost for one frame at a time: one stretch. There for one frame at a time: none.
        assert self.run([1, 1, 1, 0, 1, 1, 0, 1] * 3) == [(1, 0.0, 2.4)]
        blips = [1, 0, 0, 0] * 3
        assert self.run([1] * 8 + [0] * 4 + blips + [1] * 8) == [(1, 0.0, 0.8), (1, 2.4, 3.2)]

    def test_slip_is_left_out_but_not_a_one_frame_clip(self):
        assert self.run([0] * 10 + [1] + [0] * 20) == []
        assert self.run([1]) == [(1, 0.0, 0.1)]


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
