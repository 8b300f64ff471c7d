"""Numbers and arrays that the inferencer can't use are refused in one sentence each."""

import math
from pathlib import Path

import numpy as np
import pytest
from clips import make_clip, moving_square
from fake_segmentor import write_model

from projects.cpm_avs.inference import AVSInferencer
from projects.cpm_avs.inference.sources import open_sources
from projects.cpm_avs.media.video_io import Frame

IMAGE = moving_square(0)
SOUND = np.full(1600, 0.5, np.float32)


@pytest.fixture(scope="module")
def inferencer(tmp_path_factory):
    return AVSInferencer(*write_model(tmp_path_factory.mktemp("model")), device="cpu")


@pytest.mark.parametrize(
    "frames, hint",
    [
        (IMAGE / np.float32(255), r"type float32 .* go times 255"),
        (IMAGE.transpose(2, 0, 1), "channels to the end"),
        (np.zeros((8, 9, 4), np.uint8), "fourth channel out"),
        (np.zeros((8, 9), np.uint8), "repeat grey"),
        (np.zeros((8, 9, 1), np.uint8), "repeat grey"),
        (np.zeros((0, 9, 3), np.uint8), r"shape \(0, 9, 3\) .* no pixel"),
        (np.zeros((0, 8, 9, 3), np.uint8), "no pixel"),
        (np.zeros((2, 8, 0, 3), np.uint8), "no pixel"),
        (IMAGE.astype(np.int64), "type int64"),
        (np.zeros(3, np.uint8), r"shape \(3,\)"),
        (np.uint8(3), "type uint8"),
        (np.array(3, np.uint8), r"shape \(\)"),
        ([IMAGE], "type list"),
        (None, "type NoneType"),
    ],
)
def test_frames(inferencer, frames, hint):
    with pytest.raises(ValueError, match=f"frames of .*{hint}") as caught:
        inferencer((frames, SOUND))
    assert "give uint8 BGR of (H, W, 3)" in str(caught.value)


@pytest.mark.parametrize(
    "sound, message",
    [
        (SOUND[:0], r"shape \(0,\)"),
        (np.zeros((2, 0)), r"shape \(2, 0\)"),
        (np.zeros((1600, 2)), "channels come first"),
        (np.zeros((3, 4, 5)), r"shape \(3, 4, 5\)"),
        (np.float32(0), r"shape \(\)"),
        (np.zeros(100, np.uint8), "type uint8"),
        (np.zeros(100, complex), "type complex128"),
        (SOUND > 0, "type bool"),
        ([100, -32768], "goes to 32768 of the 9223372036854775808 that int64 has, .* as int16 or"),
        (np.array([9, -8], np.int32), "goes to 9 of the 2147483648 that int32 has"),
        (None, "type object"),
        ([[1.0], [1.0, 2.0]], "is no array"),
        (np.array([0, math.nan]), "NaN or inf"),
        (np.array([0, -math.inf]), "NaN or inf"),
        (SOUND * 32768, "goes to 16384; give floats"),
        ((SOUND, math.inf), "rate=inf is no finite number"),
        ((SOUND, math.nan), "rate=nan is no finite number"),
        ((SOUND, None), "rate=None is no finite number"),
        ((SOUND, "16000"), "rate='16000' is no finite number"),
        ((SOUND, 0), "at 0 Hz"),
        ((SOUND, -44100), "at -44100 Hz"),
        ((SOUND, 16000.5), "at 16000.5 Hz"),
        ((SOUND, 10**12), "at 1000000000000 Hz can't be read; give 1000 to 1000000 Hz"),
        ((SOUND,), "1 parts"),
    ],
)
def test_sounds(inferencer, sound, message):
    with pytest.raises(ValueError, match=message) as caught:
        inferencer((IMAGE, sound))
    assert "give" in str(caught.value) or "finite number" in str(caught.value)


@pytest.mark.parametrize("rate", [16000, 16000.0, np.int64(16000), np.float32(16000)])
def test_rates_that_are_whole_are_taken(inferencer, rate):
    assert inferencer((IMAGE, (SOUND, rate))).duration == pytest.approx(0.1)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(fps=0), "fps=0: give more than 0"),
        (dict(fps=-1), "fps=-1: give more"),
        (dict(fps=math.nan), "fps=nan is no"),
        (dict(fps=math.inf), "fps=inf is no"),
        (dict(fps="5"), "fps='5' is no"),
        (dict(fps=True), "fps=True is no"),
        (dict(start=-0.1), "start=-0.1 and"),
        (dict(start=math.nan), "start=nan is no"),
        (dict(start=None), "start=None is no"),
        (dict(start=9), "start=9 and end=None leave nothing of 'c', which lasts 0.20 s"),
        (dict(end=math.nan), "end=nan is no"),
        (dict(end=0), "end=0 leave nothing"),
        (dict(end=-2), "end=-2 leave"),
        (dict(start=0.1, end=0.1), "start=0.1 and end=0.1 leave"),
        (dict(end="1"), "end='1' is no"),
        (dict(audio=SOUND), "audio of type ndarray: give the path"),
        (dict(out_dir=""), "out_dir='': give a path"),
        (dict(out_dir=3), "out_dir=3: give a path"),
        (dict(overlay=""), "overlay='': give a path"),
    ],
)
def test_options(inferencer, tmp_path, options, message):
    clip = make_clip(tmp_path / "c.mp4", frames=5, sound=SOUND[None])
    with pytest.raises(ValueError, match=message):
        inferencer(clip, **options)


def test_places_that_cannot_be_written_to(inferencer, tmp_path):
    clip = make_clip(tmp_path / "c.mp4", frames=5, sound=SOUND[None])
    for options in (dict(out_dir=clip), dict(out_dir=clip / "x"), dict(overlay=clip / "o.mp4")):
        name = next(iter(options))
        with pytest.raises(ValueError, match=rf"^{name}='.*c\.mp4' is a file; name a folder"):
            inferencer(clip, **options)
    with pytest.raises(ValueError, match="^out_dir=.*: '/proc' can't be written to .*; name anoth"):
        inferencer(clip, out_dir="/proc/new/out")


@pytest.mark.parametrize(
    "source, message",
    [
        ([], "the list of sources is empty"),
        ((IMAGE,), "a source of 1 parts"),
        ((IMAGE, SOUND, 16000), "a source of 3 parts"),
        ((None, None), "frames of type NoneType"),
        (IMAGE, "type ndarray is not known"),
        (None, "type NoneType is not known"),
        (Path("no such.mp4"), "does not exist"),
    ],
)
def test_sources(inferencer, source, message):
    with pytest.raises(ValueError, match=message):
        inferencer(source)


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "4", None])
def test_batch_sizes(tmp_path, size):
    with pytest.raises(ValueError, match="batch_size=.*: give a whole number, at least 1"):
        AVSInferencer(*write_model(tmp_path), device="cpu", batch_size=size)


def test_frames_without_a_pixel_in_predict_and_stream(inferencer):
    with pytest.raises(ValueError, match="no pixel"):
        inferencer.predict([Frame(0.0, IMAGE), Frame(1.0, IMAGE[:0])], [SOUND[None]] * 2)
    (clip,) = open_sources((IMAGE, SOUND))
    with pytest.raises(ValueError, match="fps=nan"):
        next(inferencer.stream(clip, fps=math.nan))
