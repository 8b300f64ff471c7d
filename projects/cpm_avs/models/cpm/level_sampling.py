"""The core of deformable attention: sampling of several maps at places that tokens choose.

On a GPU it is mmcv's kernel, on the CPU a product with a sparse matrix (``bag_sampling.py``), and
where neither can be, torch's ``grid_sample``. They agree to the rounding of float32.

Shorthand: B batch, D width, N tokens, h w size of a level.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from torch import Tensor

from ...mmcv_ops import ensure_mmcv_ops
from ..made_once import in_graph, made_once
from .bag_sampling import BagSampling

#: Whether mmcv's kernels are there; torch's operators do the same, slower.
COMPILED = ensure_mmcv_ops()
_MOST_TOGETHER = 64  # samples of a call of the kernel

Size = tuple[int, int]
Sample = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def sampler_for(sizes: Sequence[Size], device: torch.device) -> Sample:
    """A function that samples levels of these sizes, (h, w) each.

    Its arguments are the values of all levels' cells (B, N, heads, D / heads); offsets of the
    places that each token looks at from its own, in cells, (B, N, heads, levels, points, 2); their
    weights (B, N, heads, levels, points); the tokens' own places, x and y in [0, 1], (N, 2). It
    gives (B, N, D).
    """
    if device.type == "cuda" and COMPILED:
        return partial(_by_kernel, *_level_tensors(tuple(sizes), device))
    if device.type == "cpu" and not in_graph():
        return partial(_by_bags, tuple(sizes))
    return partial(_by_torch, sizes)


@made_once
def _level_tensors(sizes: tuple[Size, ...], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Heights and widths, first tokens, and widths and heights of levels."""
    # Filled and not copied: a graph that is being recorded can't bring numbers to the device.
    sides = [torch.full((1,), side, device=device) for size in sizes for side in size]
    shapes = torch.cat(sides).view(-1, 2)
    counts = shapes.prod(1)
    return shapes, counts.cumsum(0) - counts, shapes.flip(1).float()[:, None]


def _by_torch(
    sizes: Sequence[Size], value: Tensor, offsets: Tensor, weights: Tensor, reference: Tensor
) -> Tensor:
    batch, heads = len(value), value.shape[2]
    sampled = []
    values = value.split([height * width for height, width in sizes], dim=1)
    for cells, offset, (height, width) in zip(values, offsets.unbind(3), sizes, strict=True):
        # One channel a head as in mmcv: (B * heads, D / heads, h, w).
        plane = cells.permute(0, 2, 3, 1).flatten(0, 1).unflatten(2, (height, width))
        moved = torch.stack((offset[..., 0] / width, offset[..., 1] / height), -1)
        grid = 2 * (reference[None, :, None, None] + moved) - 1
        grid = grid.transpose(1, 2).flatten(0, 1)
        sampled.append(F.grid_sample(plane, grid, mode="bilinear", align_corners=False))
    gathered = torch.cat(sampled, dim=-1)  # (B * heads, D / heads, N, levels * points)
    weights = weights.flatten(-2).transpose(1, 2).flatten(0, 1)[:, None]
    output = (gathered * weights).sum(-1).unflatten(0, (batch, heads)).flatten(1, 2)
    return output.transpose(1, 2)


def _by_bags(
    sizes: tuple[Size, ...], value: Tensor, offsets: Tensor, weights: Tensor, reference: Tensor
) -> Tensor:
    return BagSampling.apply(value, offsets, weights, reference, sizes)


def _by_kernel(
    shapes: Tensor,
    starts: Tensor,
    cells: Tensor,
    value: Tensor,
    offsets: Tensor,
    weights: Tensor,
    reference: Tensor,
) -> Tensor:
    locations = reference[None, :, None, None, None] + offsets / cells
    batch = len(value)  # which the kernel takes in equal parts
    together = max(part for part in range(1, _MOST_TOGETHER + 1) if batch % part == 0)
    return MultiScaleDeformableAttnFunction.apply(
        value, shapes, starts, locations, weights, together
    )
