"""Near-duplicates among recordings: another gain, another beginning, re-encoded, resampled.

Only recordings of like mean spectra are compared. They are whitened, which makes their correlation
sharp for tones, too, and laid over each other where the whitened ones agree best; what counts is
how well they agree there, as they are and whitened. Copies of another speed or pitch, and two parts
of a recording that have nothing in common, are not found.

Shorthand: L samples, N samples of the transforms.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import uniform_filter1d
from scipy.signal import welch

from ...constants import SAMPLE_RATE
from ...media.sound_io import load_waveform

#: Likeness of two mean spectra (Bhattacharyya's coefficient, 1 for equal ones) from which on
#: recordings are compared: some 1.5 % of all pairs.
MIN_LIKENESS = 0.8
#: Score from which on two recordings are one. On 700 recordings the weakest pair of one recording
#: had 0.48 and the strongest of two 0.37; two takes of one key of a piano have less than 0.2.
MIN_SCORE = 0.45
_FRAME = 1024  # samples of a mean spectrum
_SMOOTH = 16  # Hz over which whitening levels
# Whitened recordings that have nothing in common correlate by some 0.03 somewhere.
_MIN_PEAK = 0.1
# What they overlap in is at least this share of both, by energy.
_MIN_SHARE = 0.2
_KEPT = 256  # recordings that are kept while pairs are compared, 0.8 MB each at 3 s
_BLOCK = 1024  # rows of the matrix of likenesses that are there at a time


@dataclass(frozen=True)
class SoundFingerprint:
    """What tells whether two recordings are worth comparing.

    Attributes:
        path: The file.
        num_samples: Its length at 16 kHz.
        spectrum: Roots of the shares of its energy that bins of frequency have, (513,).
    """

    path: str
    num_samples: int
    spectrum: NDArray[np.float32]


def sound_fingerprint(path: str | Path) -> SoundFingerprint:
    """Read a recording's fingerprint; raises ``BadSampleError`` where it can't be read."""
    sound = load_waveform(path)[0]
    padded = np.pad(sound, (0, max(0, _FRAME - len(sound))))
    power = welch(padded, nperseg=_FRAME, detrend=False)[1]
    shares = power / max(float(power.sum()), np.finfo(np.float32).tiny)
    return SoundFingerprint(str(path), len(sound), np.sqrt(shares).astype(np.float32))


def near_sounds(fingerprints: Sequence[SoundFingerprint]) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, of one recording."""
    size = num_bins(max((one.num_samples for one in fingerprints), default=1))

    @lru_cache(_KEPT)
    def load(number: int) -> Whitened:
        return whiten(load_waveform(fingerprints[number].path)[0], size)

    for one, other in like_spectra(fingerprints):
        if sound_score(load(one), load(other)) >= MIN_SCORE:
            yield one, other


def like_spectra(fingerprints: Sequence[SoundFingerprint]) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, that are worth comparing."""
    if not fingerprints:
        return
    roots = np.stack([one.spectrum for one in fingerprints])
    for start in range(0, len(roots), _BLOCK):
        likeness = roots[start : start + _BLOCK] @ roots[start:].T
        for row, column in np.argwhere(likeness >= MIN_LIKENESS):
            if row < column:
                yield start + int(row), start + int(column)


@dataclass(frozen=True)
class Whitened:
    """A recording that is ready to be compared.

    Attributes:
        sound: As it is, (L,).
        white: Whitened, (L,).
        spectrum: Of ``white`` over its norm, (N // 2 + 1,).
        size: N.
    """

    sound: NDArray[np.float32]
    white: NDArray[np.float32]
    spectrum: NDArray[np.complex64]
    size: int


def num_bins(longest: int) -> int:
    """N with which no two recordings of up to ``longest`` samples overlap around the ends."""
    return int(fft.next_fast_len(2 * longest, real=True))


def whiten(sound: NDArray[np.float32], size: int) -> Whitened:
    """Level the spectrum of a recording (L,), all frequencies but the weakest to one strength."""
    spectrum = fft.rfft(sound, size)
    width = max(1, round(_SMOOTH * size / SAMPLE_RATE))
    level = np.sqrt(uniform_filter1d(np.square(np.abs(spectrum)), width))
    floor = 1e-3 * level.max() + np.finfo(np.float32).tiny
    white = fft.irfft(spectrum / (level + floor), size)[: len(sound)]
    white /= max(float(np.linalg.norm(white)), 1e-12)
    return Whitened(sound, white, fft.rfft(white, size), size)


def sound_score(one: Whitened, other: Whitened) -> float:
    """How much two recordings are one, 0 to 1.

    Where the whitened ones agree best, sqrt(|r| |r_w|) with the correlations r of the recordings
    and r_w of the whitened ones over what they overlap in; 0 where that is little.
    """
    agreement = np.abs(fft.irfft(one.spectrum * other.spectrum.conj(), one.size))
    lag = int(agreement.argmax())
    if agreement[lag] < _MIN_PEAK:
        return 0.0
    lag -= one.size * (lag > one.size // 2)  # one[t + lag] is like other[t]
    first, last = max(0, -lag), min(len(other.sound), len(one.sound) - lag)
    part, other_part = np.s_[first + lag : last + lag], np.s_[first:last]
    shares = (
        float(np.sum(np.square(whole.sound[where])) / max(np.sum(np.square(whole.sound)), 1e-12))
        for whole, where in ((one, part), (other, other_part))
    )
    if min(shares) < _MIN_SHARE:
        return 0.0
    plain = _correlation(one.sound[part], other.sound[other_part])
    return float(np.sqrt(plain * _correlation(one.white[part], other.white[other_part])))


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Absolute value of the cosine of two signals (L,)."""
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.abs(one @ other)) / max(norms, 1e-12)
