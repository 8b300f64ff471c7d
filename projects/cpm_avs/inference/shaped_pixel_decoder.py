"""The pixel decoder of mmdet with sizes as numbers, for graphs, which can't ask a tensor for them.

Shorthand: B batch, D width, N tokens.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.ops import MultiScaleDeformableAttention
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from torch import Tensor, nn

from ..mmcv_ops import ensure_mmcv_ops

#: Whether mmcv's kernels are there; torch's sampling does the same, slower.
COMPILED = ensure_mmcv_ops()


class ShapedPixelDecoder(nn.Module):
    """mmdet's ``MSDeformAttnPixelDecoder`` at inference, with sizes as numbers, not tensors.

    Args:
        decoder: Whose parts are used.
    """

    decoder: Any

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Maps (B, C_l, h_l, w_l), finest first, to mask features and memories, coarsest first."""
        decoder = self.decoder
        tokens, positions, references, sizes = [], [], [], []
        for level in range(decoder.num_encoder_levels):
            feat = feats[decoder.num_input_levels - level - 1]
            height, width = feat.shape[-2:]
            empty = feat.new_zeros((feat.shape[0], height, width), dtype=torch.bool)
            position = decoder.postional_encoding(empty)
            position = position + decoder.level_encoding.weight[level].view(1, -1, 1, 1)
            tokens.append(decoder.input_convs[level](feat).flatten(2).transpose(1, 2))
            positions.append(position.flatten(2).transpose(1, 2))
            references.append(_cell_centres(height, width, feat))
            sizes.append((height, width))
        query, position = torch.cat(tokens, 1), torch.cat(positions, 1)
        reference = torch.cat(references, 0)
        for layer in decoder.encoder.layers:
            attended = deformable_attention(layer.self_attn, query, position, reference, sizes)
            query = layer.norms[0](attended)
            query = layer.norms[1](layer.ffn(query))
        memories = []
        for part, (height, width) in zip(
            query.split([height * width for height, width in sizes], dim=1), sizes, strict=True
        ):
            memories.append(part.transpose(1, 2).unflatten(2, (height, width)))
        for level in reversed(range(decoder.num_input_levels - decoder.num_encoder_levels)):
            lateral = decoder.lateral_convs[level](feats[level])
            grown = F.interpolate(
                memories[-1], size=lateral.shape[-2:], mode="bilinear", align_corners=False
            )
            memories.append(decoder.output_convs[level](lateral + grown))
        return decoder.mask_feature(memories[-1]), memories[: decoder.num_outs]


def deformable_attention(
    attention: MultiScaleDeformableAttention,
    query: Tensor,
    position: Tensor,
    reference: Tensor,
    sizes: Sequence[tuple[int, int]],
) -> Tensor:
    """What mmcv's module gives at inference, the residual included.

    Args:
        attention: Whose weights are used.
        query: Tokens of all levels, (B, N, D).
        position: Their positional encoding, (B, N, D).
        reference: Their places in the image, x and y in [0, 1], (N, 2).
        sizes: Height and width of each level.
    """
    heads, points, levels = attention.num_heads, attention.num_points, len(sizes)
    batch, tokens = query.shape[:2]
    placed = query + position
    value = attention.value_proj(query).unflatten(-1, (heads, -1))
    offsets = attention.sampling_offsets(placed).view(batch, tokens, heads, levels, points, 2)
    weights = attention.attention_weights(placed).unflatten(-1, (heads, -1)).softmax(-1)
    sample = _sampled_by_kernel if query.is_cuda and COMPILED else _sampled
    output = sample(value, offsets, weights, reference, sizes)
    return attention.output_proj(output) + query


def _sampled(
    value: Tensor,
    offsets: Tensor,
    weights: Tensor,
    reference: Tensor,
    sizes: Sequence[tuple[int, int]],
) -> Tensor:
    """Weighted values (B, N, D) at the places that each token looks at.

    Args:
        value: (B, N, heads, D / heads).
        offsets: Of the places from the token's own, in cells, (B, N, heads, levels, points, 2).
        weights: (B, N, heads, levels * points).
        reference: As in ``deformable_attention``.
        sizes: As there.
    """
    batch, heads = len(value), value.shape[2]
    sampled = []
    values = value.split([height * width for height, width in sizes], dim=1)
    for level, (height, width) in enumerate(sizes):
        # One channel a head as in mmcv: (B * heads, D / heads, h, w).
        plane = values[level].permute(0, 2, 3, 1).flatten(0, 1).unflatten(2, (height, width))
        moved = torch.stack(
            (offsets[:, :, :, level, :, 0] / width, offsets[:, :, :, level, :, 1] / height), -1
        )
        grid = 2 * (reference[None, :, None, None] + moved) - 1
        grid = grid.transpose(1, 2).flatten(0, 1)
        sampled.append(F.grid_sample(plane, grid, mode="bilinear", align_corners=False))
    gathered = torch.cat(sampled, dim=-1)  # (B * heads, D / heads, N, levels * points)
    weights = weights.transpose(1, 2).flatten(0, 1)[:, None]
    output = (gathered * weights).sum(-1).unflatten(0, (batch, heads)).flatten(1, 2)
    return output.transpose(1, 2)


def _sampled_by_kernel(
    value: Tensor,
    offsets: Tensor,
    weights: Tensor,
    reference: Tensor,
    sizes: Sequence[tuple[int, int]],
) -> Tensor:
    """As ``_sampled``, by mmcv's kernel."""
    shapes, starts, cells = _level_tensors(tuple(sizes), value.device)
    locations = reference[None, :, None, None, None] + offsets / cells[:, None]
    weights = weights.unflatten(-1, offsets.shape[3:5])
    # The kernel takes a batch in equal parts of 64 at most.
    together = max(part for part in range(1, 65) if len(value) % part == 0)
    return MultiScaleDeformableAttnFunction.apply(
        value, shapes, starts, locations, weights, together
    )


@lru_cache(maxsize=64)
def _level_tensors(
    sizes: tuple[tuple[int, int], ...], device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Heights and widths, first tokens, and widths and heights of levels.

    Kept, because a graph that is being recorded can't bring numbers to the device.
    """
    shapes = torch.tensor(sizes, device=device)
    counts = shapes.prod(1)
    return shapes, counts.cumsum(0) - counts, shapes.flip(1).float()


def _cell_centres(height: int, width: int, like: Tensor) -> Tensor:
    """Centres of a map's cells, x and y in [0, 1], (h * w, 2)."""
    x = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) / width
    y = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) / height
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack((grid_x.flatten(), grid_y.flatten()), -1)
