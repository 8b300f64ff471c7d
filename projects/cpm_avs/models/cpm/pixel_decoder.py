"""Mask2Former's pixel decoder: deformable attention over three scales, then a fourth on top.

Shorthand: B batch, D width, N tokens of all levels.
"""

from collections.abc import Iterable, Sequence

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models.layers import DeformableDetrTransformerEncoderLayer, MSDeformAttnPixelDecoder
from mmengine.config import ConfigDict
from torch import Tensor

from ..memory_layout import interpolated, layout_to_resize
from .level_sampling import Sample, sampler_for
from .positions import cell_centres, sine_encoding


class PixelDecoder(MSDeformAttnPixelDecoder):
    """MMDetection's, its parameters and its result, with sizes as numbers instead of tensors.

    A graph can't ask a tensor for a size, and a GPU has to be waited for. What depends on sizes
    alone is made once, and the levels are sampled by ``sampler_for``.

    Args:
        in_channels: Channels of the image backbone's maps at strides 4, 8, 16 and 32.
        embed_dims: D.
        num_layers: Layers of the encoder.
        feedforward_channels: Hidden width of their feed-forward layers.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        embed_dims: int,
        num_layers: int,
        feedforward_channels: int,
    ) -> None:
        super().__init__(
            in_channels=list(in_channels),
            strides=[4, 8, 16, 32],
            feat_channels=embed_dims,
            out_channels=embed_dims,
            num_outs=3,
            norm_cfg=dict(type="GN", num_groups=32),
            act_cfg=dict(type="ReLU"),
            # It is read by attribute.
            encoder=ConfigDict(
                num_layers=num_layers,
                layer_cfg=dict(
                    self_attn_cfg=dict(
                        embed_dims=embed_dims,
                        num_heads=8,
                        num_levels=3,
                        num_points=4,
                        dropout=0.0,  # as in Mask2Former; mmcv's default is 0.1
                        batch_first=True,
                    ),
                    ffn_cfg=dict(
                        embed_dims=embed_dims,
                        feedforward_channels=feedforward_channels,
                        num_fcs=2,
                        act_cfg=dict(type="ReLU"),  # not in place: see AVDecoder
                    ),
                ),
            ),
            positional_encoding=ConfigDict(num_feats=embed_dims // 2, normalize=True),
        )

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Maps (B, C_l, h_l, w_l), finest first, to mask features and memories, coarsest first."""
        *finer, _, _, _ = feats
        maps = [
            conv(feat) for conv, feat in zip(self.input_convs, reversed(feats[-3:]), strict=True)
        ]
        memories = encode_maps(maps, self.encoder.layers, self.level_encoding.weight)
        for lateral, output, feat in zip(
            self.lateral_convs, self.output_convs, reversed(finer), strict=True
        ):
            fine = lateral(feat)
            memories.append(output(fine + interpolated(memories[-1], fine.shape[-2:])))
        # The decoder reads them at three sizes.
        return layout_to_resize(self.mask_feature(memories[-1])), memories[: self.num_outs]


def encode_maps(
    maps: Sequence[Tensor],
    layers: Iterable[DeformableDetrTransformerEncoderLayer],
    level_embed: Tensor,
    *,
    normalize: bool = True,
) -> list[Tensor]:
    """Maps whose cells have read one another, across levels.

    Args:
        maps: One a level, each (B, D, h_l, w_l).
        layers: Of the encoder.
        level_embed: Added to the positions of each level, (levels, D).
        normalize: See ``sine_encoding``.
    """
    device, dtype, width = maps[0].device, maps[0].dtype, maps[0].shape[1]
    sizes = [(one.shape[2], one.shape[3]) for one in maps]
    tokens = torch.cat([one.flatten(2).transpose(1, 2) for one in maps], 1)
    encodings = [sine_encoding(*size, width, device, dtype, normalize) for size in sizes]
    levels = zip(encodings, level_embed, strict=True)
    position = torch.cat([encoding + level for encoding, level in levels], 1)
    reference = torch.cat([cell_centres(*size, device, dtype) for size in sizes])
    sample = sampler_for(sizes, device)
    for layer in layers:
        attended = deformable_attention(layer.self_attn, tokens, position, reference, sample)
        tokens = layer.norms[1](layer.ffn(layer.norms[0](attended)))
    parts = tokens.split([height * width for height, width in sizes], 1)
    return [
        part.transpose(1, 2).unflatten(2, size) for part, size in zip(parts, sizes, strict=True)
    ]


def deformable_attention(
    attention: MultiScaleDeformableAttention,
    tokens: Tensor,
    position: Tensor,
    reference: Tensor,
    sample: Sample,
) -> Tensor:
    """What mmcv's module gives, the residual included.

    Args:
        attention: Whose weights are used.
        tokens: Of all levels, (B, N, D).
        position: Their positional encoding, (1, N, D).
        reference: Their places in the image, x and y in [0, 1], (N, 2).
        sample: Reads the levels.
    """
    heads, levels, points = attention.num_heads, attention.num_levels, attention.num_points
    placed = tokens + position
    value = attention.value_proj(tokens).unflatten(-1, (heads, -1))
    offsets = attention.sampling_offsets(placed).unflatten(-1, (heads, levels, points, 2))
    weights = attention.attention_weights(placed).unflatten(-1, (heads, -1)).softmax(-1)
    output = sample(value, offsets, weights.unflatten(-1, (levels, points)), reference)
    return attention.dropout(attention.output_proj(output)) + tokens
