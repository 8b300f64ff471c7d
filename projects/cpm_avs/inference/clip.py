"""A clip of frames and a sound on one clock, opened from files or arrays.

Shorthand: A audio channels, L samples, N frames of H W.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..constants import SAMPLE_RATE
from ..datasets.mask_decoding import UNREADABLE
from ..errors import BadSampleError
from ..media.audio_functional import Waveform, resample, to_channels
from ..media.kinds import PICTURES, check_picture_size
from ..media.opening import MOST_PIXELS, check_file, forbidden, too_large
from ..media.sound_io import read_sound
from ..media.video_io import Frame, probe, read_frames
from .arguments import check_frames, check_sound

Picture = str | Path | NDArray[np.uint8]
Samples = NDArray[np.floating] | NDArray[np.signedinteger]
_NO_SAMPLE = "is shorter than one sample"
_LEFT_TURNED = (b"WEBP", b"avif")  # whose EXIF orientation OpenCV passes over
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
    sound: Callable[[int, int, float, float], Iterator[Waveform]]
    sample_rate: int
    channels: int
    is_video: bool = True
    files: tuple[Path, ...] = ()


def video_clip(
    path: Path,
    audio: str | Path | None,
    silent_ok: bool,
    track: int | None = None,
    most_pixels: int = MOST_PIXELS,
) -> Clip:
    """A video file, with its own sound, another file's, or none; see ``open_sources``."""
    own = track if audio is None else None
    info = probe(path, track=own, most_pixels=most_pixels)
    sound = _file_sound(path, track, origin=info.origin)
    sample_rate, channels = info.sample_rate, min(info.channels, 2)
    if audio is not None:
        sound, (sample_rate, channels) = _file_sound(audio, track), (48000, 2)
        heard = read_sound(audio, sample_rate=sample_rate, channels=channels, track=track)
        if next(heard, None) is None:  # refuses it now
            raise BadSampleError(audio, _NO_SAMPLE, "Give a longer sound")
    elif not info.channels:
        if not silent_ok:
            raise BadSampleError(
                path,
                "has no sound track, or an empty one, and the model segments what sounds",
                "Add one (of one clip: --audio FILE), or go on as if all were silent (--silent-ok)",
            )
        sound = _silence

    def frames(start: float, end: float | None) -> Iterator[Frame]:
        return read_frames(path, origin=info.origin, start=start, end=end, most_pixels=most_pixels)

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


def pair_clip(
    picture: Picture,
    sound: SoundSource,
    track: int | None = None,
    most_pixels: int = MOST_PIXELS,
) -> Clip:
    """An image, or several spread evenly over the sound."""
    count, image_at = _open_picture(picture, most_pixels)
    chunks, duration, sample_rate = _open_sound(sound, track)
    share = duration / count  # of the sound

    def frames(start: float, end: float | None) -> Iterator[Frame]:
        if count == 1:  # `start` says which moment of the sound is meant, else the middle
            yield Frame(start or min(duration, end or duration) / 2, image_at(0))
            return
        for index in range(count):
            time = (index + 0.5) * share
            if time >= start and (end is None or time < end):
                yield Frame(time, image_at(index), shown_from=index * share)

    return Clip(
        name=Path(picture).stem if isinstance(picture, (str, Path)) else "arrays",
        duration=duration,
        num_frames=count,
        rate=Fraction(count / duration).limit_denominator(1000),
        time_base=Fraction(1, 90_000),
        frames=frames,
        sound=chunks,
        sample_rate=sample_rate,
        channels=2,
        is_video=count > 1,
        files=_paths(picture, sound),
    )


def _open_picture(
    picture: Picture, most_pixels: int
) -> tuple[int, Callable[[int], NDArray[np.uint8]]]:
    """Number of images, and one of them by call."""
    if isinstance(picture, (str, Path)):
        path = picture
        # Refuses it now; held until its turn, a folder of them would fill memory.
        read_image(path, most_pixels)
        return 1, lambda _: read_image(path, most_pixels)
    images = check_frames(picture)
    return len(images), lambda index: images[index]


def _paths(*sources: object) -> tuple[Path, ...]:
    """Those that are files, not arrays."""
    return tuple(Path(source) for source in sources if isinstance(source, (str, Path)))


def _open_sound(
    sound: SoundSource, track: int | None
) -> tuple[Callable[..., Iterator[Waveform]], float, int]:
    """Chunks by call, duration in seconds, sample rate."""
    if isinstance(sound, (str, Path)):
        heard = read_sound(sound, sample_rate=SAMPLE_RATE, channels=1, track=track)
        length = sum(chunk.shape[1] for chunk in heard)
        if length == 0:
            raise BadSampleError(sound, _NO_SAMPLE, "Give a longer sound")
        return _file_sound(sound, track), length / SAMPLE_RATE, 48000
    waveform, rate = check_sound(sound)

    def chunks(sample_rate: int, channels: int, start: float, end: float) -> Iterator[Waveform]:
        whole = resample(to_channels(waveform, channels), rate, sample_rate)
        first, last = round(start * sample_rate), round(end * sample_rate)
        yield np.pad(whole, ((0, 0), (0, max(0, last - whole.shape[1]))))[:, first:last]

    return chunks, waveform.shape[1] / rate, rate


def _file_sound(
    path: str | Path, track: int | None, origin: float | None = None
) -> Callable[[int, int, float, float], Iterator[Waveform]]:
    def chunks(sample_rate: int, channels: int, start: float, end: float) -> Iterator[Waveform]:
        return read_sound(
            path,
            sample_rate=sample_rate,
            channels=channels,
            origin=origin,
            start=start,
            end=end,
            track=track,
        )

    return chunks


def _silence(sample_rate: int, channels: int, start: float, end: float) -> Iterator[Waveform]:
    left = round((end - start) * sample_rate)
    while left > 0:
        yield np.zeros((channels, min(left, sample_rate)), np.float32)
        left -= sample_rate


def read_image(path: str | Path, most_pixels: int = MOST_PIXELS) -> NDArray[np.uint8]:
    """(H, W, 3) BGR, turned by its EXIF orientation; of an animation the first picture.

    Raises:
        BadSampleError: It is no picture, or has more than ``most_pixels``.
    """
    check_file(path)
    try:
        with suppress(OSError, SyntaxError):  # of a format that Pillow lacks
            check_picture_size(path, most_pixels)
        content = np.fromfile(path, np.uint8)
        turned = content[8:12].tobytes() in _LEFT_TURNED
        image = None if turned else cv2.imdecode(content, cv2.IMREAD_COLOR)
        if image is None:  # or a format that OpenCV lacks
            with Image.open(path, formats=PICTURES) as opened:
                image = np.array(ImageOps.exif_transpose(opened).convert("RGB"))[..., ::-1]
    except PermissionError as error:
        raise forbidden(path) from error
    except BadSampleError:
        raise
    except (cv2.error, *UNREADABLE) as error:  # such as a size that no picture has
        raise BadSampleError(path, "is no image that can be read", "Give a jpg or png") from error
    if image.shape[0] * image.shape[1] > most_pixels:
        raise too_large(path, f"has more than {most_pixels} pixels", most_pixels)
    return np.ascontiguousarray(image, np.uint8)
