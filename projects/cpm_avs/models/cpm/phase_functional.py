"""By how much one channel of a stereo sound lags the other, heard in the phases of its spectra.

Two microphones hear a sound from the right first in the right channel. A delay d turns the phase of
a frequency f by 2 pi f d: the same delay is another phase in every bin, and from 1 / (2 d) on a
phase stands for several delays. Both are settled by asking each bin for delays rather than for its
phase, as generalised cross-correlation does (Knapp and Carter 1976, here without whitening): bins
of one cell that agree on a delay add up there, and cancel out elsewhere.

Shorthand: B batch, T F spectrogram frames and bins, Ta Fa audio lattice, K delays.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...constants import SAMPLE_RATE
from ..precision import full_precision
from ..spectrogram import DropBin, bin_frequencies, first_bin


def delay_grid(max_delay: float) -> Tensor:
    """Delays one sample apart, 0 in the middle, rising from -max_delay to max_delay.

    Between samples nothing is missed, since a sound of 16 kHz holds nothing above 8 kHz.

    Args:
        max_delay: Seconds, rounded to samples.

    Returns:
        Tensor: Seconds, (K,) float64.
    """
    most = round(max_delay * SAMPLE_RATE)
    return torch.arange(-most, most + 1, dtype=torch.float64) / SAMPLE_RATE


def steering(delays: Tensor, num_bins: int, drop_bin: DropBin = "nyquist") -> Tensor:
    """What turns the phase of each bin back by each delay.

    Args:
        delays: Of the left channel behind the right one, seconds, (K,).
        num_bins: F.
        drop_bin: As in ``stft_magnitude``.

    Returns:
        Tensor: Cosine and sine, (2, F, K) float32.
    """
    frequencies = bin_frequencies(torch.arange(num_bins) + first_bin(drop_bin))
    angle = 2 * torch.pi * frequencies[:, None] * delays.double()
    return torch.stack([angle.cos(), angle.sin()]).float()


def delay_response(cross: Tensor, steering: Tensor, size: tuple[int, int]) -> Tensor:
    """How well each delay explains what each cell of a lattice hears, loud bins counting more.

    Of a cell's bins with the cross spectra C this is Re sum(C exp(2 pi i f d)) / sum |C|: 1 where
    all of them have the phase of this delay, and small where they have any.

    Args:
        cross: See ``magnitude_and_cross``, (B, 2, T, F).
        steering: Of the delays, (2, F, K).
        size: Ta and Fa.

    Returns:
        Tensor: From -1 to 1, 0 where all bins are 0, (B, Ta, Fa, K) float32.
    """
    cross = full_precision(cross)
    frames, rows = size
    strength = F.adaptive_avg_pool2d(torch.linalg.vector_norm(cross, dim=1, keepdim=True), size)
    # Frames first: bins have to be turned one by one.
    by_bin = F.adaptive_avg_pool2d(cross, (frames, cross.shape[-1]))
    real, imaginary = by_bin.unsqueeze(-1).unbind(1)
    turned = real * steering[0] - imaginary * steering[1]  # (B, Ta, F, K)
    response = F.adaptive_avg_pool2d(turned, (rows, turned.shape[-1]))
    tiny = torch.finfo(strength.dtype).tiny
    return response / strength.squeeze(1).unsqueeze(-1).clamp_min(tiny)
