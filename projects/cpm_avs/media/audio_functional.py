"""What can be done to waveforms: pure functions, without files.

Waveforms are float32 of shape (A, L), A channels and L samples, nominally in [-1, 1].
"""

from collections.abc import Sequence

import numpy as np
import soxr
from numpy.typing import NDArray

from ..constants import SAMPLE_RATE
from ..errors import UserError

Waveform = NDArray[np.float32]

#: From which to which sounds have, Hz; of a damaged header's 1 Hz a sample would become 16,000.
RATES = (1000, 1_000_000)


def resample(waveform: Waveform, rate: int, new_rate: int) -> Waveform:
    """Bring (A, L) from ``rate`` to ``new_rate`` Hz: (A, about L * new_rate / rate)."""
    if rate == new_rate:
        return waveform
    resampled = soxr.resample(np.ascontiguousarray(waveform.T), rate, new_rate)
    return np.ascontiguousarray(resampled.T, dtype=np.float32)


def cut_window(waveform: Waveform, start: int, length: int) -> Waveform:
    """Cut ``length`` samples from sample ``start`` on; the sound repeats where it does not reach.

    A window that lies partly outside a sound of sufficient length is moved inside, so that what is
    heard stays one piece. A shorter sound is tiled from its beginning. (A slice with a negative
    start would count from the end, as in CAVP's code.)
    """
    if length <= 0:
        raise UserError(f"length={length}: a window needs at least one sample.")
    total = waveform.shape[1]
    if total == 0:
        raise ValueError("The waveform has no samples, there is nothing to cut or repeat.")
    if total < length:
        return np.tile(waveform, (1, -(-length // total)))[:, :length]
    start = min(max(start, 0), total - length)
    return waveform[:, start : start + length]


def pan_stereo(waveform: Waveform, position: float) -> Waveform:
    """Place a mono sound (1, L) at ``position`` from 0 (left) to 1 (right): L=w(1-p), R=wp."""
    _check_place(waveform, position)
    gains = np.array([[1 - position], [position]], dtype=np.float32)
    return gains * waveform


def _check_place(waveform: Waveform, position: float) -> None:
    if not 0 <= position <= 1:
        raise ValueError(f"position={position}: give 0 (left edge) to 1 (right edge).")
    if waveform.shape[0] != 1:
        raise ValueError(f"Only a mono sound can be placed, got {waveform.shape[0]} channels.")


def delay_stereo(waveform: Waveform, position: float, *, edge_delay: float = 0.0005) -> Waveform:
    """Place a mono sound (1, L) as two microphones apart hear it: at one level, by time alone.

    Both channels are w / 2, so that their mean is as loud as ``pan_stereo``'s. They are moved by a
    phase for each frequency, by fractions of a sample, and what is moved out at one end comes in at
    the other.

    Args:
        waveform: At ``SAMPLE_RATE``.
        position: From 0 (left) to 1 (right).
        edge_delay: Of the left channel behind the right one at position 1, seconds; the opposite at
            0, and nothing in the middle.
    """
    _check_place(waveform, position)
    delay = (2 * position - 1) * edge_delay
    frequency = np.fft.rfftfreq(waveform.shape[1], 1 / SAMPLE_RATE)
    later = np.array([[delay / 2], [-delay / 2]])
    moved = np.fft.rfft(waveform) * np.exp(-2j * np.pi * frequency * later)
    return 0.5 * np.fft.irfft(moved, waveform.shape[1]).astype(np.float32)


def mix(waveforms: Sequence[Waveform]) -> Waveform:
    """Sum waveforms of one shape (A, L), as air does: without renormalisation."""
    if not waveforms:
        raise ValueError("There is nothing to mix: give at least one waveform.")
    total = np.zeros_like(waveforms[0])
    for waveform in waveforms:
        if waveform.shape != total.shape:
            raise ValueError(
                f"Waveforms of shapes {total.shape} and {waveform.shape} can't be summed; "
                "cut both to one length first."
            )
        total += waveform
    return total


def root_mean_square(waveform: Waveform) -> float:
    """Root mean square over all channels and samples."""
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def to_channels(waveform: Waveform, channels: int) -> Waveform:
    """(A', L) to (channels, L): the mean for 1; for 2 the first two, or a mono sound twice."""
    if channels == 1:
        return waveform.mean(axis=0, keepdims=True)
    return np.repeat(waveform, 2, axis=0) if waveform.shape[0] == 1 else waveform[:2]
