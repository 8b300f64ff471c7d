"""Where the cells of a map lie: as coordinates, and as positional encodings."""

import torch
from mmdet.models.layers import SinePositionalEncoding
from torch import Tensor

from ..made_once import made_once
from .place_functional import horizontal_code


@made_once
def sine_encoding(
    height: int,
    width: int,
    embed_dims: int,
    device: torch.device,
    dtype: torch.dtype,
    normalize: bool = True,
) -> Tensor:
    """Sines and cosines of each cell's place, DETR's, as tokens (1, h * w, D).

    Args:
        height: h.
        width: w.
        embed_dims: D.
        device: Of the result.
        dtype: Of the result.
        normalize: Whether a place is a share of the map, times 2 pi, or the number of its cell.
    """
    no_padding = torch.zeros(1, height, width, dtype=torch.bool, device=device)
    encoding = SinePositionalEncoding(embed_dims // 2, normalize=normalize)(no_padding)
    return encoding.to(dtype).flatten(2).transpose(1, 2).contiguous()


@made_once
def cell_centres(height: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Centres of a map's cells, x and y in [0, 1], (h * w, 2); arguments as above."""
    x = (torch.arange(width, device=device, dtype=dtype) + 0.5) / width
    y = (torch.arange(height, device=device, dtype=dtype) + 0.5) / height
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack((grid_x.flatten(), grid_y.flatten()), -1)


@made_once
def column_codes(width: int, num_feats: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """``horizontal_code`` of the centres of a map's columns, (num_feats, w)."""
    centres = (torch.arange(width, device=device, dtype=torch.float32) + 0.5) / width
    return horizontal_code(centres, num_feats).to(dtype).T.contiguous()
