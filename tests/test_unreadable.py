"""Files that a clip can't be read from for what they are: forbidden, or with frames too large."""

import inspect
import os
import struct
import zlib

import av
import numpy as np
import pytest
import soundfile
from clips import make_clip, make_jpegs
from fake_segmentor import write_model
from PIL import Image

from projects.cpm_avs.errors import BadSampleError, UserError
from projects.cpm_avs.inference import AVSInferencer
from projects.cpm_avs.inference.clip import read_image
from projects.cpm_avs.inference.sources import open_sources
from projects.cpm_avs.media.video_io import probe, read_frames

SMALL, LARGE = (64, 48), (200, 200)


def test_each_frame_is_held_to_the_limit(tmp_path):
    """A limit on the first frame alone let a file of 1 MB take gigabytes of memory."""
    clip = make_jpegs(tmp_path / "c.avi", [SMALL] * 3 + [LARGE])
    assert probe(clip, most_pixels=10_000).frames == 4  # the first frame is small
    frames = read_frames(clip, most_pixels=10_000)
    assert [next(frames).image.shape[:2] for _ in range(3)] == [(48, 64)] * 3
    with pytest.raises(BadSampleError, match=r"c\.avi: has a frame of more than 10000 pixels"):
        next(frames)
    with pytest.raises(BadSampleError, match=r"has a frame of 200 x 200 pixels.* at most 39999"):
        [*read_frames(clip, most_pixels=39_999)]
    assert len([*read_frames(clip, most_pixels=40_000)]) == 4
    assert len([*read_frames(clip)]) == 4
    with pytest.raises(BadSampleError, match="more than 10000 pixels"):
        probe(make_jpegs(tmp_path / "l.avi", [LARGE]), most_pixels=10_000)


def test_clips_of_a_folder_and_a_list(tmp_path):
    make_jpegs(tmp_path / "c.avi", [LARGE])
    for source in (tmp_path, [tmp_path / "c.avi"]):
        with pytest.raises(BadSampleError, match="more than 10000 pixels"):
            open_sources(source, silent_ok=True, most_pixels=10_000)


@pytest.mark.filterwarnings("error")  # Pillow's, which has no remedy
@pytest.mark.parametrize(
    ("size", "reason"),
    [((9500, 9500), "has 9500 x 9500 pixels, which is too large"), ((14000, 13000), "has more")],
)
def test_a_picture_is_held_to_the_limit_before_it_is_decoded(tmp_path, size, reason):
    """Decoding would take a second a quarter gigabyte, and segmenting as much again."""
    small = tmp_path / "small.png"
    Image.new("RGB", (8, 8)).save(small)
    header = struct.pack(">II", *size)
    chunk = b"IHDR" + header + small.read_bytes()[24:29]
    content = small.read_bytes()[:12] + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "x" / "frames").mkdir(parents=True)
    large = tmp_path / "x" / "frames" / "0.png"
    large.write_bytes(content + small.read_bytes()[33:])
    soundfile.write(tmp_path / "x/sound.wav", np.zeros(16000), 16000)
    sound = tmp_path / "x" / "sound.wav"
    wanted = rf"0\.png: {reason}.*\. Make it smaller, to at most 89478485 pixels"
    for source, audio in ((large, sound), ((large, sound), None), (tmp_path / "x", None)):
        with pytest.raises(BadSampleError, match=wanted):
            open_sources(source, audio=audio)
    with pytest.raises(BadSampleError, match="small.png: has 8 x 8 .* at most 63 pixels"):
        open_sources(small, audio=sound, most_pixels=63)


def test_an_array_and_a_video_have_the_same_limit(tmp_path, monkeypatch):
    huge = np.broadcast_to(np.zeros(3, np.uint8), (9500, 9500, 3))
    with pytest.raises(UserError, match="frames of 9500 x 9500 pixels are more than the 89478485"):
        open_sources((huge, np.zeros(16000, np.float32)))
    assert inspect.signature(read_frames).parameters["most_pixels"].default == 89478485
    assert inspect.signature(probe).parameters["most_pixels"].default == 89478485


@pytest.mark.parametrize("name", ["c.mp4", "c.jpg"])
def test_a_file_without_permission(tmp_path, monkeypatch, name):
    """Converting it, as was advised, would not help. (As root all files can be read.)"""
    clip = make_clip(tmp_path / name.replace(".jpg", ".mp4"), frames=3).rename(tmp_path / name)

    def refuse(*_, **__):
        raise av.error.PermissionError(13, "Permission denied", name)

    monkeypatch.setattr("av.open", refuse)
    monkeypatch.setattr(np, "fromfile", refuse)
    with pytest.raises(BadSampleError, match="can't be read for lack of permission. Change it"):
        probe(clip) if name.endswith("mp4") else read_image(clip)


def test_what_is_no_file_is_told(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.mp4")
    for source, why in (
        (tmp_path / "pipe.mp4", "pipe.mp4: is a pipe or a device. Save"),
        ("https://example.com/a.mp4", "a.mp4: is an address. Download"),
        ("x" * 300 + ".mp4", "x.mp4: can't be opened .File name too long"),
        (tmp_path / "none.mp4", "does not exist"),
    ):
        with pytest.raises(BadSampleError, match=why):
            open_sources(source)
    with pytest.raises(UserError, match="source is empty"):  # of "$CLIP" that is not set
        open_sources("")

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.is_dir", refuse)  # of a folder above
    with pytest.raises(BadSampleError, match="lack of permission"):
        open_sources("a.mp4")


def test_a_picture_too_thin_for_the_model(tmp_path):
    inferencer = AVSInferencer(*write_model(tmp_path), device="cpu")
    picture = np.zeros((1, 4000, 3), np.uint8)
    with pytest.raises(UserError, match="a picture of 4000 x 1 pixels is too thin"):
        inferencer((picture, np.ones(1600, np.float32)))


def test_a_folder_that_may_not_be_listed(tmp_path, monkeypatch):
    """The others of a list go on."""
    clip = make_clip(tmp_path / "a.mp4", frames=3)
    (tmp_path / "closed").mkdir()

    def refuse(_):
        raise PermissionError(13, "Permission denied", "closed")

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)  # as root all folders can be listed
    errors: list[ValueError] = []
    opened = open_sources([tmp_path / "closed", clip], silent_ok=True, on_error=errors.append)
    assert [one.name for one in opened] == ["a"]
    assert "closed: can't be read for lack of permission" in str(errors[0])
