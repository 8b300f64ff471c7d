"""What a user may hand in, brought to one form: a clip of frames and a sound on one clock."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..datasets.audio_functional import resample
from ..structures import BadSampleError
from .sound_io import Sound, read_sound
from .video_io import Frame, probe, read_frames

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
SOUND_SUFFIXES = {".wav", ".mp3", ".ogg", ".flac", ".m4a", ".aac", ".opus"}
VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".3gp", ".ts"}
# AVSBench pairs frame k with the 0.96 s from second k on; this is the middle of them.
_AVSBENCH_CENTRE = 0.48

Picture = str | Path | NDArray[np.uint8]
Samples = NDArray[np.floating] | NDArray[np.signedinteger]
SoundSource = str | Path | Samples | tuple[Samples, int]


@dataclass(frozen=True)
class Clip:
    """Frames and sound on one clock, read anew at each call and never held as a whole.

    Attributes:
        name: For files and messages.
        duration: Seconds.
        num_frames: As far as is known beforehand.
        rate: Mean frames per second.
        time_base: Seconds per tick of the video's clock.
        frames: (start, end) -> frames in that stretch.
        sound: (sample_rate, channels, start, end) -> chunks of exactly that stretch.
        sample_rate: Of the original sound, Hz; 0 for none.
        channels: Of the original sound; 0 for none.
        is_video: Whether the result is a video rather than a picture.
        files: What frames and sound are read from, which nothing may be written to.
    """

    name: str
    duration: float
    num_frames: int
    rate: Fraction
    time_base: Fraction
    frames: Callable[[float, float | None], Iterator[Frame]]
    sound: Callable[[int, int, float, float], Iterator[Sound]]
    sample_rate: int
    channels: int
    is_video: bool = True
    files: tuple[Path, ...] = ()


Source = str | Path | tuple[Picture, SoundSource] | Clip


def open_sources(
    source: Source | list[Source],
    *,
    audio: str | Path | None = None,
    silent_ok: bool = False,
) -> list[Clip]:
    """Clips of a source.

    Args:
        source: A video file; an image and a sound (files or arrays: BGR uint8 (H, W, 3) or
            (N, H, W, 3), and (L,) or (A, L) at 16 kHz or with its rate, floats in [-1, 1] or
            signed integers of full range); an image file with ``audio``; a folder of videos, of
            images each with a sound of its name, or of images with one sound, frame k at second k
            as in AVSBench; a clip opened before; or a list of these.
        audio: Sound file that takes the place of a video's own, or goes with an image or with a
            folder of images.
        silent_ok: Whether a video without sound is taken as silent rather than refused.

    Raises:
        BadSampleError: A file can't be used; the message says why and what to do.
    """
    if isinstance(source, list):
        return [
            clip for one in source for clip in open_sources(one, audio=audio, silent_ok=silent_ok)
        ]
    if isinstance(source, Clip):
        return [source]
    if isinstance(source, tuple):
        return [_pair_clip(*source)]
    if not isinstance(source, (str, Path)):
        raise ValueError(
            f"a source of type {type(source).__name__} is not known; give a path, an (image, "
            "sound) pair or a list of these"
        )
    path = Path(source)
    if path.is_dir():
        return _folder_clips(path, audio, silent_ok)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        if audio is None:
            raise BadSampleError(
                path, "is an image without a sound", "Name its sound: --audio FILE"
            )
        return [_pair_clip(path, audio)]
    return [_video_clip(path, audio, silent_ok)]


def _video_clip(path: Path, audio: str | Path | None, silent_ok: bool) -> Clip:
    info = probe(path)
    sound = _file_sound(path, origin=info.origin)
    sample_rate, channels = info.sample_rate, min(info.channels, 2)
    if audio is not None:
        sound, (sample_rate, channels) = _file_sound(audio), (48000, 2)
        next(read_sound(audio, sample_rate=sample_rate, channels=channels))  # refuses it now
    elif not info.channels:
        if not silent_ok:
            raise BadSampleError(
                path,
                "has no sound track, and the model segments what sounds",
                "Add a sound (--audio FILE), or go on as if all were silent (--silent-ok)",
            )
        sound = _silence

    def frames(start: float, end: float | None) -> Iterator[Frame]:
        return read_frames(path, origin=info.origin, start=start, end=end)

    return Clip(
        name=path.stem,
        duration=info.duration,
        num_frames=info.frames,
        rate=info.rate,
        time_base=info.time_base,
        frames=frames,
        sound=sound,
        sample_rate=sample_rate,
        channels=channels,
        files=_paths(path, audio),
    )


def _pair_clip(picture: Picture, sound: SoundSource) -> Clip:
    """An image, or several spread evenly over the sound."""
    images = _read_image(picture)[None] if isinstance(picture, (str, Path)) else picture
    images = images[None] if images.ndim == 3 else images
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8 or not len(images):
        raise ValueError(
            f"frames of shape {images.shape} and type {images.dtype} can't be read; give uint8 "
            "BGR of (H, W, 3) or (N, H, W, 3)"
        )
    chunks, duration, sample_rate = _open_sound(sound)
    share = duration / len(images)  # of the sound

    def frames(start: float, end: float | None) -> Iterator[Frame]:
        if len(images) == 1:  # `start` says which moment of the sound is meant, else the middle
            yield Frame(start or min(duration, end or duration) / 2, images[0])
            return
        for index, image in enumerate(images):
            time = (index + 0.5) * share
            if time >= start and (end is None or time < end):
                yield Frame(time, image, shown_from=index * share)

    rate = Fraction(len(images) / duration).limit_denominator(1000)
    return Clip(
        name=Path(picture).stem if isinstance(picture, (str, Path)) else "arrays",
        duration=duration,
        num_frames=len(images),
        rate=rate,
        time_base=Fraction(1, 90_000),
        frames=frames,
        sound=chunks,
        sample_rate=sample_rate,
        channels=2,
        is_video=len(images) > 1,
        files=_paths(picture, sound),
    )


def _folder_clips(folder: Path, audio: str | Path | None, silent_ok: bool) -> list[Clip]:
    files = sorted(folder.iterdir(), key=_natural)
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    sounds = [path for path in files if path.suffix.lower() in SOUND_SUFFIXES]
    clips = [_video_clip(path, audio, silent_ok) for path in videos]
    by_stem = {path.stem: path for path in sounds}
    if audio is not None:  # in place of every sound in the folder
        by_stem = dict.fromkeys(by_stem, Path(audio))
        sounds = [Path(audio)] if sounds or not videos else []
    paired = [path for path in images if path.stem in by_stem]
    if images and not paired and len(sounds) == 1:
        clips.append(_avsbench_clip(folder, images, sounds[0]))
    clips += [_pair_clip(path, by_stem[path.stem]) for path in paired]
    if not clips:
        raise BadSampleError(
            folder,
            "holds no video, and no image with its sound",
            "Put videos into it, or NAME.jpg beside NAME.wav, or numbered frames and one sound",
        )
    return clips


def _avsbench_clip(folder: Path, images: list[Path], sound: Path) -> Clip:
    """Frame k with second k; a label (``0.png`` beside ``0.jpg``) is not taken for a frame."""
    frames_of = {path.stem: path for path in sorted(images, key=lambda p: p.suffix != ".png")}
    paths = [frames_of[stem] for stem in dict.fromkeys(path.stem for path in images)]
    base = _pair_clip(_read_image(paths[0]), sound)

    def frames(start: float, end: float | None) -> Iterator[Frame]:
        for second, path in enumerate(paths):
            if second >= start and (end is None or second < end):
                yield Frame(second + _AVSBENCH_CENTRE, _read_image(path), shown_from=float(second))

    return replace(
        base,
        name=folder.resolve().name,  # of `..` it is the folder's own
        num_frames=len(paths),
        rate=Fraction(1),
        frames=frames,
        duration=max(base.duration, float(len(paths))),
        is_video=len(paths) > 1,
        files=(*paths, sound),
    )


def _paths(*sources: object) -> tuple[Path, ...]:
    """Those that are files, not arrays."""
    return tuple(Path(source) for source in sources if isinstance(source, (str, Path)))


def _open_sound(sound: SoundSource) -> tuple[Callable[..., Iterator[Sound]], float, int]:
    """Chunks by call, duration in seconds, sample rate."""
    if isinstance(sound, (str, Path)):
        rate = 16000
        length = sum(c.shape[1] for c in read_sound(sound, sample_rate=rate, channels=1))
        return _file_sound(sound), length / rate, 48000
    samples, rate = sound if isinstance(sound, tuple) else (sound, 16000)
    array: NDArray[Any] = np.asarray(samples)
    if array.dtype.kind not in "fi" or rate <= 0:
        raise ValueError(
            f"a sound of type {array.dtype} at {rate} Hz can't be read; give floats in [-1, 1] or "
            "signed integers, and a rate above 0"
        )
    full_scale = -np.iinfo(array.dtype).min if array.dtype.kind == "i" else 1
    waveform = np.atleast_2d(array.astype(np.float32) / np.float32(full_scale))
    if waveform.ndim != 2 or waveform.shape[0] not in (1, 2) or not waveform.shape[1]:
        raise ValueError(
            f"a sound of shape {np.shape(array)} can't be read; give (L,), (1, L) or (2, L)"
        )

    def chunks(sample_rate: int, channels: int, start: float, end: float) -> Iterator[Sound]:
        mixed = waveform.mean(0, keepdims=True) if channels == 1 else waveform
        mixed = np.broadcast_to(mixed, (channels, mixed.shape[1]))
        whole = resample(np.ascontiguousarray(mixed), rate, sample_rate)
        first, last = round(start * sample_rate), round(end * sample_rate)
        yield np.pad(whole, ((0, 0), (0, max(0, last - whole.shape[1]))))[:, first:last]

    return chunks, waveform.shape[1] / rate, rate


def _file_sound(
    path: str | Path, origin: float | None = None
) -> Callable[[int, int, float, float], Iterator[Sound]]:
    def chunks(sample_rate: int, channels: int, start: float, end: float) -> Iterator[Sound]:
        return read_sound(
            path, sample_rate=sample_rate, channels=channels, origin=origin, start=start, end=end
        )

    return chunks


def _silence(sample_rate: int, channels: int, start: float, end: float) -> Iterator[Sound]:
    left = round((end - start) * sample_rate)
    while left > 0:
        yield np.zeros((channels, min(left, sample_rate)), np.float32)
        left -= sample_rate


def _read_image(path: str | Path) -> NDArray[np.uint8]:
    """(H, W, 3) BGR, turned by its EXIF orientation."""
    if not Path(path).is_file():
        raise BadSampleError(path, "does not exist", "Check the path")
    data = np.fromfile(path, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise BadSampleError(path, "is no image that can be read", "Give a jpg or png")
    return np.asarray(image, np.uint8)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts 2.jpg before 10.jpg."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
