"""Makes small clips with every oddity that a person's own file may have."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np


def click_track(duration: float, clicks: tuple[float, ...], rate: int = 44100) -> np.ndarray:
    """(1, n) float32: silence with a burst of 440 Hz of 50 ms at each given second."""
    sound = np.zeros((1, round(duration * rate)), np.float32)
    burst = 0.8 * np.sin(2 * np.pi * 440 * np.arange(rate // 20) / rate)
    for click in clicks:
        start = round(click * rate)
        sound[0, start : start + len(burst)] = burst[: sound.shape[1] - start]
    return sound


def tone(duration: float, start: float, end: float, rate: int = 44100) -> np.ndarray:
    """(1, n) float32: 440 Hz between two seconds, else silence."""
    sound = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(duration * rate)) / rate)
    sound[: round(start * rate)] = sound[round(end * rate) :] = 0
    return sound[None].astype(np.float32)


def moving_square(index: int, width: int = 64, height: int = 48) -> np.ndarray:
    """(H, W, 3) uint8 BGR: dark grey, a red patch top left, a green square that moves right."""
    image = np.full((height, width, 3), 40, np.uint8)
    image[: height // 4, : width // 4] = (0, 0, 255)
    left = (index * 2) % (width // 2)
    image[height // 2 : height // 2 + 12, left : left + 12] = (0, 200, 0)
    return image


def make_clip(
    path: Path,
    *,
    frames: int = 25,
    rate: int = 25,
    size: tuple[int, int] = (64, 48),
    sound: np.ndarray | None = None,
    sound_rate: int = 44100,
    sound_start: float = 0.0,
    rotation: int = 0,
    matrix: tuple[int, ...] | None = None,
    aspect: Fraction = Fraction(1),
    group: int = 250,
    times: list[float] | None = None,
) -> Path:
    """Write a clip as H.264 (with B-frames) and AAC, or as MPEG-2 if it is a .mpg or .vob.

    An avi has no times.

    Args:
        path: File to write.
        frames: Number of pictures of ``moving_square``.
        rate: Frames per second.
        size: Width and height, even.
        sound: (A, n) in [-1, 1], or None for no track.
        sound_rate: Hz.
        sound_start: When the track begins, seconds.
        rotation: Degrees, counter-clockwise, that a player has to turn the pictures by.
        matrix: (a, b, c, d): a player takes the pixel at x, y to a x + c y, b x + d y.
        aspect: Width of a pixel by its height.
        group: Pictures from one key frame to the next.
        times: Seconds of each picture, for a variable frame rate.
    """
    old = path.suffix in (".mpg", ".vob")
    tick = Fraction(1, rate if old or path.suffix == ".avi" else 12800)
    with av.open(str(path), "w") as container:
        video = container.add_stream(
            "mpeg2video" if old else "libx264",
            rate=rate,
            options={"qmax": "2"} if old else {"crf": "12"},
        )
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        video.gop_size, video.sample_aspect_ratio = group, aspect
        video.codec_context.time_base = tick
        if rotation:
            video.set_display_rotation(rotation)
        if matrix:
            a, b, c, d = (one << 16 for one in matrix)
            video.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        audio = None
        if sound is not None:
            layout = "mono" if sound.shape[0] == 1 else "stereo"
            audio = container.add_stream("mp2" if old else "aac", rate=sound_rate, layout=layout)
        for index in range(frames):
            picture = av.VideoFrame.from_ndarray(moving_square(index, *size), format="bgr24")
            seconds = times[index] if times else index / rate
            picture.pts, picture.time_base = round(seconds / tick), tick
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout=layout)
            frame.sample_rate = sound_rate
            frame.pts, frame.time_base = round(sound_start * sound_rate), Fraction(1, sound_rate)
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def make_jpegs(path: Path, sizes: list[tuple[int, int]]) -> Path:
    """Write a video of JPEGs, 5 a second, each of its own width and height."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=5)
        stream.width, stream.height, stream.pix_fmt = *sizes[0], "yuvj420p"
        for index, (width, height) in enumerate(sizes):
            _, data = cv2.imencode(".jpg", np.full((height, width, 3), 90, np.uint8))
            packet = av.Packet(data.tobytes())
            packet.pts = packet.dts = index
            packet.time_base, packet.stream = Fraction(1, 5), stream
            packet.is_keyframe = True
            container.mux(packet)
    return path


def loud(duration: float) -> np.ndarray:
    """(1, n) of 0.5 and -0.5 in turn."""
    return np.resize(np.repeat([0.5, -0.5], 20), (1, round(duration * 44100))).astype(np.float32)
