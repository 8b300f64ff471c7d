"""Where a sound comes from, as a place in the picture and in the code of its columns.

A source at x from 0 (left) to 1 (right) that is panned as L = w (1 - x), R = w x has in each cell
of the spectrograms that it dominates |R| / (|L| + |R|) = x.

Shorthand: B batch, T F spectrogram frames and bins, Ta Fa audio lattice.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..precision import full_precision

#: Mean magnitude of a cell below which it is silent: white noise at -80 dB of full scale has more,
#: the rounding of 16-bit samples less.
SILENT = 1e-3


def panning(specgram: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Horizontal place of what each cell of a lattice hears, its bins weighted by their loudness.

    Args:
        specgram: Linear magnitudes of the left and the right channel, (B, 2, T, F).
        size: Ta and Fa.

    Returns:
        tuple: From 0 (left) to 1 (right), and whether there is a sound, bool; both (B, Ta, Fa).
    """
    # sum(w x) / sum(w) with w = L + R and x = R / w.
    left, right = F.adaptive_avg_pool2d(full_precision(specgram), size).unbind(1)
    loudness = left + right
    return right / loudness.clamp_min(torch.finfo(loudness.dtype).tiny), loudness / 2 > SILENT


def in_view(x: Tensor, view: Tensor | None) -> Tensor:
    """Places in the frame as places in the picture that the model gets.

    Args:
        x: (B, ...), from 0 to 1 of the frame.
        view: Where the frame's left and right edge lie in the padded picture, from 0 to 1 of its
            width, (B, 2); a crop's frame goes beyond. None: the picture is the frame.

    Returns:
        Tensor: As ``x``, from 0 to 1 of the padded picture.
    """
    if view is None:
        return x
    left, right = view.to(x.dtype).view(len(x), 2, *[1] * (x.ndim - 1)).unbind(1)
    return left + x * (right - left)


def horizontal_code(x: Tensor, num_feats: int) -> Tensor:
    """The part of ``positions.sine_encoding`` that tells columns apart, of any places.

    Args:
        x: From 0 at the picture's left edge to 1 at its right edge, (...). As in MMDetection, the
            code of an image's cell is that of its right edge.
        num_feats: Half of the embedding width, even.

    Returns:
        Tensor: (..., num_feats).
    """
    octave = torch.arange(num_feats // 2, device=x.device, dtype=x.dtype) * (2 / num_feats)
    angle = (2 * math.pi * x).unsqueeze(-1) / 10_000**octave
    return torch.stack((angle.sin(), angle.cos()), -1).flatten(-2)
