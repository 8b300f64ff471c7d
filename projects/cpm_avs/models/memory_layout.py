"""The layout in which convolutions are fastest."""

import torch
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
