"""Colours of what is read and written: a browser shows those that the program saw."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from projects.cpm_avs.media.video_io import read_frames
from projects.cpm_avs.media.video_writer import VideoWriter

RGB = (200, 60, 30)
BT709, UNSPECIFIED, BT601 = 1, 2, 6  # as the standards number the matrices, H.273
FULL, LIMITED = 2, 1


def flat(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), RGB, np.uint8)


def by_hand(red: float, green: float, blue: float, matrix: int, full: bool) -> list[float]:
    """Y, Cb and Cr, 8 bits, by the formulas of ITU-R BT.709 and BT.601."""
    r, b = (0.2126, 0.0722) if matrix == BT709 else (0.299, 0.114)
    luma = r * red + (1 - r - b) * green + b * blue
    chroma = [(blue - luma) / (2 - 2 * b), (red - luma) / (2 - 2 * r)]
    if full:
        return [luma, 128 + chroma[0], 128 + chroma[1]]
    return [16 + luma * 219 / 255, *(128 + one * 224 / 255 for one in chroma)]


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize(("size", "matrix"), [((1280, 720), BT709), ((320, 240), BT601)])
def test_what_is_written_says_how_to_show_it(tmp_path, monkeypatch, codec, size, matrix):
    if codec == "mpeg4":
        monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    path = tmp_path / "o.mp4"
    writer = VideoWriter(path, width=size[0], height=size[1], rate=Fraction(25))
    for index in range(2):
        writer.write(flat(*size), index / 25)
    writer.close(0.08)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        picture = next(container.decode(video=0))
    assert (context.colorspace, context.color_primaries, context.color_trc) == (matrix,) * 3
    assert context.color_range == LIMITED
    stored = [np.median(np.frombuffer(plane, np.uint8)) for plane in picture.planes]
    assert stored == pytest.approx(by_hand(*RGB, matrix, full=False), abs=3)
    shown = next(read_frames(path)).image[size[1] // 2, size[0] // 2, ::-1].tolist()
    assert shown == pytest.approx(list(RGB), abs=4)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("tagged", [True, False])
@pytest.mark.parametrize(("size", "matrix"), [((1280, 720), BT709), ((320, 240), BT601)])
def test_what_is_read_is_shown_in_its_own_colours(tmp_path, size, matrix, tagged, full):
    """Without a tag, players take HD for BT.709 and smaller pictures for BT.601."""
    path = write(
        tmp_path / "a.mkv", size, by_hand(*RGB, matrix, full), matrix if tagged else 2, full
    )
    shown = next(read_frames(path)).image[size[1] // 2, size[0] // 2, ::-1].tolist()
    assert shown == pytest.approx(list(RGB), abs=4)


def test_a_small_picture_that_says_that_it_is_of_bt709(tmp_path):
    path = write(tmp_path / "a.mkv", (320, 240), by_hand(*RGB, BT709, full=False), BT709, False)
    assert next(read_frames(path)).image[9, 9, ::-1].tolist() == pytest.approx(list(RGB), abs=4)


def write(path: Path, size: tuple[int, int], color: list[float], matrix: int, full: bool) -> Path:
    """A clip of one picture of one colour, given as it is stored."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = FULL if full else LIMITED
        picture = av.VideoFrame(*size, "yuv420p")
        for plane, value in zip(picture.planes, color, strict=True):
            plane.update(bytes([round(value)]) * plane.buffer_size)
        container.mux([*stream.encode(picture), *stream.encode(None)])
    return path


KINDS = (
    "gray",
    "yuv420p10le",
    "yuv444p",
    "yuvj420p",
    "gbrp",
    "rgba",
    "pal8",
    "yuva420p",
    "gray16le",
)


@pytest.mark.parametrize("kind", KINDS)
def test_pixel_formats(tmp_path, kind):
    """Ten bits, grey, alpha, palettes and planes of RGB become the picture that they show."""
    codec, suffix = {
        "rgba": ("png", "mov"), "pal8": ("gif", "gif"), "gray16le": ("ffv1", "mkv"),
        "yuva420p": ("ffv1", "mkv"), "gray": ("ffv1", "mkv"), "gbrp": ("utvideo", "avi"),
    }.get(kind, ("libx264", "mkv"))  # fmt: skip
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "rgb8" if kind == "pal8" else kind
        picture = av.VideoFrame.from_ndarray(flat(64, 48), format="rgb24")
        for _ in range(2):
            container.mux(stream.encode(picture.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode(None))
    shown = next(read_frames(path)).image[20, 20, ::-1].tolist()
    expected = [0.299 * 200 + 0.587 * 60 + 0.114 * 30] * 3 if "gray" in kind else list(RGB)
    assert shown == pytest.approx(expected, abs=31 if kind == "pal8" else 5)
