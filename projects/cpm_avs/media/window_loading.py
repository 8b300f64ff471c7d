"""A window of a sound file, of which only the seconds around the window are decoded.

Shorthand: A channels, L samples of the window.
"""

import math
from pathlib import Path

import numpy as np

from ..constants import SAMPLE_RATE
from .audio_functional import Waveform, cut_window, resample, to_channels
from .opening import check_file
from .sound_decoding import Block, open_plain, refuse_no_sound
from .sound_io import load_waveform

#: Seconds on either side that the resampling filter is given; it looks at less than a third of it.
_MARGIN = 0.1


def load_window(
    path: str | Path,
    *,
    start: int,
    length: int,
    sample_rate: int = SAMPLE_RATE,
    channels: int = 1,
) -> Waveform:
    """What ``cut_window`` cuts of ``load_waveform``, to the rounding of the resampling filter.

    A WAV or Ogg file is read from just before the window to just behind it. Of others, whose length
    is known only at their end, and where the window reaches beyond the sound, all is read.

    Args:
        path: File to read.
        start: First sample of the window, at ``sample_rate``.
        length: L.
        sample_rate: Rate wanted, Hz.
        channels: A, 1 or 2.

    Returns:
        (A, L) float32.

    Raises:
        BadSampleError: As in ``load_waveform``; what is not read of the file is not judged.
    """
    piece = _piece(path, start, length, sample_rate, channels)
    if piece is not None:
        return piece
    waveform = load_waveform(path, sample_rate=sample_rate, channels=channels)
    return cut_window(waveform, start, length)


def _piece(
    path: str | Path, start: int, length: int, sample_rate: int, channels: int
) -> Waveform | None:
    """The window, where it lies within a sound that can be read from anywhere."""
    check_file(path)
    file = open_plain(path, channels)
    if file is None:
        return None
    with file:
        rate = file.samplerate
        if start < 0 or start + length > file.frames * sample_rate // rate:
            return None
        # From a sample that both rates have, so that the samples between are the same ones.
        common = math.gcd(rate, sample_rate)
        step, own_step = rate // common, sample_rate // common
        steps = max(0, math.floor((start / sample_rate - _MARGIN) * common))
        file.seek(steps * step)
        end = math.ceil(((start + length) / sample_rate + _MARGIN) * rate)
        samples = file.read(end - steps * step, dtype="float32", always_2d=True)
    planes = np.ascontiguousarray(samples.T)
    refuse_no_sound(path, Block(planes, rate, None), steps / common)
    waveform = resample(to_channels(planes, channels), rate, sample_rate)
    first = start - steps * own_step
    return np.ascontiguousarray(waveform[:, first : first + length])
