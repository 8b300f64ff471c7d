"""What a caller hands in as numbers and arrays: checked, with an error that says what is wanted.

Shorthand: N frames of H W, A audio channels, L samples.
"""

import math
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..constants import SAMPLE_RATE
from ..errors import UserError
from ..files import check_folder
from ..media.audio_functional import RATES
from ..media.opening import MOST_PIXELS

_LOUDEST = 16.0  # resampling and mixing may pass 1 a little; numbers of 16 bits do by far
_FRAMES = "give uint8 BGR of (H, W, 3) or (N, H, W, 3)"
#: Peak of a sound in whole numbers that is no sound, but 16 bits in a larger type: -96 dB.
_FAINTEST = 2.0**-16
_SOUND = "give (L,), (1, L) or (2, L), floats in [-1, 1] or signed integers"


def check_number(name: str, value: object) -> float:
    """A finite number, or an error that names the argument."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise UserError(f"{name}={value!r} is no finite number")
    return float(value)


def check_batch_size(value: object) -> int:
    """An integer from 1 on."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise UserError(f"batch_size={value!r}: give a whole number, at least 1")
    return int(value)


def check_track(value: object) -> int | None:
    """The number of a sound track from 1 on, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise UserError(f"audio_track={value!r}: give the number of a sound track, from 1 on")
    return int(value)


def check_rate(name: str, value: object) -> float:
    """A number above 0."""
    rate = check_number(name, value)
    if rate <= 0:
        raise UserError(f"{name}={value}: give more than 0 a second")
    return rate


def check_times(name: str, duration: float, fps: object, start: object, end: object) -> None:
    """Refuse what leaves nothing of a clip.

    Args:
        name: Of the clip.
        duration: Of the clip, seconds.
        fps: Frames per second to segment, or None.
        start: First second.
        end: Last second, or None.
    """
    if fps is not None and check_number("fps", fps) <= 0:
        raise UserError(f"fps={fps}: give more than 0, or leave it out to segment every frame")
    first = check_number("start", start)
    last = math.inf if end is None else check_number("end", end)
    if not 0 <= first < min(last, duration):
        raise UserError(
            f"start={start} and end={end} leave nothing of {name!r}, which lasts {duration:.2f} s"
        )


def check_output(name: str, path: object) -> Path | None:
    """A path to write to, None where there is none; its folder is there or can be made."""
    if path is None:
        return None
    if not isinstance(path, (str, Path)) or not str(path):
        raise UserError(f"{name}={path!r}: give a path")
    try:
        check_folder(path if name == "out_dir" else Path(path).parent)
    except OSError as error:
        raise UserError(f"{name}={str(path)!r}: {error}") from error
    return Path(path)


def check_frames(frames: object) -> NDArray[np.uint8]:
    """Frames as (N, H, W, 3) uint8."""
    if not isinstance(frames, np.ndarray):
        raise UserError(f"frames of type {type(frames).__name__} can't be read; {_FRAMES}")
    images = frames[None] if frames.ndim == 3 else frames
    if images.ndim == 4 and images.shape[-1] == 3 and images.dtype == np.uint8 and images.size:
        height, width = images.shape[1:3]
        if height * width > MOST_PIXELS:
            raise UserError(
                f"frames of {width} x {height} pixels are more than the {MOST_PIXELS} that are "
                "taken; make them smaller, such as 1920 wide"
            )
        return images
    raise UserError(
        f"frames of shape {frames.shape} and type {frames.dtype} can't be read; {_FRAMES}"
        f"{_hint_for(images)}"
    )


def _hint_for(images: NDArray[Any]) -> str:
    """How an array that is no frames may become some; part of a sentence."""
    if not images.size:
        return "; there is no pixel in them"
    if images.ndim == 4 and images.shape[1] == 3 != images.shape[-1]:
        return "; move the channels to the end: transpose"
    if images.ndim == 4 and images.shape[-1] == 4:
        return "; leave the fourth channel out: [..., :3]"
    if images.ndim == 2 or images.shape[-1:] == (1,):
        return "; repeat grey three times"
    return "; floats in [0, 1] go times 255" if images.dtype.kind == "f" else ""


def check_sound(sound: object) -> tuple[NDArray[np.float32], int]:
    """A sound as (A, L) float32 in [-1, 1], and its rate in Hz."""
    if isinstance(sound, tuple) and len(sound) != 2:
        raise UserError(f"a sound of {len(sound)} parts can't be read; give it, or (sound, rate)")
    samples, rate = sound if isinstance(sound, tuple) else (sound, SAMPLE_RATE)
    try:
        array: NDArray[Any] = np.asarray(samples)
    except (ValueError, TypeError) as error:  # lists of different lengths, a tensor on a GPU
        raise UserError(
            f"a sound of type {type(samples).__name__} is no array; {_SOUND}"
        ) from error
    hertz = check_number("the sound's rate", rate)
    if not RATES[0] <= hertz <= RATES[1] or hertz != round(hertz):
        raise UserError(f"a sound at {rate} Hz can't be read; give {RATES[0]} to {RATES[1]} Hz")
    if array.dtype.kind not in "fi":
        raise UserError(f"a sound of type {array.dtype} can't be read; {_SOUND}")
    if array.ndim not in (1, 2) or np.atleast_2d(array).shape[0] not in (1, 2) or not array.size:
        hint = "; channels come first: transpose" if array.ndim == 2 and array.size else ""
        raise UserError(f"a sound of shape {array.shape} can't be read; {_SOUND}{hint}")
    full_scale = -np.iinfo(array.dtype).min if array.dtype.kind == "i" else 1
    waveform = np.atleast_2d(array.astype(np.float32) / np.float32(full_scale))
    if array.dtype.kind == "i" and 0 < np.abs(waveform).max() <= _FAINTEST:
        raise UserError(
            f"the sound goes to {np.abs(waveform).max() * full_scale:.0f} of the {full_scale} that "
            f"{array.dtype} has, as numbers of fewer bits do; give them as int16 or floats"
        )
    if not np.isfinite(waveform).all():
        raise UserError("the sound holds NaN or inf; give finite numbers in [-1, 1]")
    if (loudest := float(np.abs(waveform).max())) > _LOUDEST:
        raise UserError(f"the sound goes to {loudest:g}; give floats in [-1, 1], or integers")
    return waveform, int(hertz)
