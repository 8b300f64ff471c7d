"""Positional encodings of maps, made once for each size."""

from functools import lru_cache

import torch
from mmdet.models.layers import SinePositionalEncoding
from torch import Tensor


def sine_encoding(
    height: int, width: int, embed_dims: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Sines and cosines of each cell's place, DETR's, as tokens (1, h * w, D).

    Args:
        height: h.
        width: w.
        embed_dims: D.
        device: Of the result.
        dtype: Of the result.
    """
    # A graph has to make its own: its sizes may be symbols, and what is kept here may be freed.
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    traced |= device.type == "cuda" and torch.cuda.is_current_stream_capturing()
    return (_make if traced else _keep)(height, width, embed_dims, device, dtype)


def _make(
    height: int, width: int, embed_dims: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    no_padding = torch.zeros(1, height, width, dtype=torch.bool, device=device)
    encoding = SinePositionalEncoding(embed_dims // 2, normalize=True)(no_padding)
    return encoding.to(dtype).flatten(2).transpose(1, 2).contiguous()


@lru_cache(maxsize=16)  # four maps a picture and one a sound, of few sizes in any run
def _keep(
    height: int, width: int, embed_dims: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    # Training may read what inference mode made first, and could not go backwards through it.
    with torch.inference_mode(False):
        return _make(height, width, embed_dims, device, dtype)
