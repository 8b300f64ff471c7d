"""The pixel decoder of mmdet with sizes as numbers, for graphs, which can't ask a tensor for them.

Shorthand: B batch, D width, N tokens.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.ops import MultiScaleDeformableAttention
from torch import Tensor, nn

from .level_sampling import Sample, sampler_for


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
        sample = sampler_for(sizes, feats[0].device)
        query, position = torch.cat(tokens, 1), torch.cat(positions, 1)
        reference = torch.cat(references, 0)
        for layer in decoder.encoder.layers:
            attended = deformable_attention(layer.self_attn, query, position, reference, sample)
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
    sample: Sample,
) -> Tensor:
    """What mmcv's module gives at inference, the residual included.

    Args:
        attention: Whose weights are used.
        query: Tokens of all levels, (B, N, D).
        position: Their positional encoding, (B, N, D).
        reference: Their places in the image, x and y in [0, 1], (N, 2).
        sample: Reads the levels.
    """
    heads, levels, points = attention.num_heads, attention.num_levels, attention.num_points
    placed = query + position
    value = attention.value_proj(query).unflatten(-1, (heads, -1))
    offsets = attention.sampling_offsets(placed).unflatten(-1, (heads, levels, points, 2))
    weights = attention.attention_weights(placed).unflatten(-1, (heads, -1)).softmax(-1)
    output = sample(value, offsets, weights.unflatten(-1, (levels, points)), reference)
    return attention.output_proj(output) + query


def _cell_centres(height: int, width: int, like: Tensor) -> Tensor:
    """Centres of a map's cells, x and y in [0, 1], (h * w, 2)."""
    x = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) / width
    y = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) / height
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack((grid_x.flatten(), grid_y.flatten()), -1)
