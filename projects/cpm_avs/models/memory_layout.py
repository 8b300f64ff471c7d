"""The layout in which convolutions and interpolation are fastest."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .made_once import in_graph


def fast_layout(x: Tensor) -> Tensor:
    """Channels last on the CPU, with which oneDNN's convolutions take up to a third less time.

    What follows keeps the layout; the values are the same. Elsewhere nothing changes.

    Args:
        x: (B, C, H, W).
    """
    if x.device.type != "cpu" or in_graph():
        return x
    x = x.contiguous(memory_format=torch.channels_last)
    if x.shape[1] > 1:
        return x
    # A single channel can stand anywhere, and torch lets it stand first.
    height, width = x.shape[2:]
    return x.as_strided(x.shape, (height * width, 1, width, 1))


def interpolated(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear interpolation in the layout in which it is fastest.

    Args:
        x: (B, C, h, w).
        size: (H, W).

    Returns:
        Tensor: (B, C, H, W).
    """
    return F.interpolate(layout_to_resize(x), tuple(size), mode="bilinear", align_corners=False)


def layout_to_resize(x: Tensor) -> Tensor:
    """Maps (B, C, h, w) with channels last on a GPU, for ``F.interpolate``.

    Its kernel for that layout has a thread for each number; the other one has a thread for each
    cell of the result, which goes through all channels of all pictures.
    """
    return x.contiguous(memory_format=torch.channels_last) if x.is_cuda else x
