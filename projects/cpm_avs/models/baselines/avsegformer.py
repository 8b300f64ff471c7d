"""AVSegFormer (https://arxiv.org/abs/2307.01146, AAAI 2024): its head, written from facts.

300 queries that have heard the sound read a pyramid of maps. They have no class and no mask of
their own: what all of them find at a cell is one vector, which a network adds to the mask features
there, and these are classified cell by cell.

Shorthand: B batch, Q queries, D width, h w size of the finest map (stride 4).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.models.layers import DeformableDetrTransformerEncoderLayer
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import DenseOutput
from ..cpm.pixel_decoder import encode_maps
from ..precision import full_precision
from .avsegformer_layers import ChannelGate, QueryGenerator


@MODELS.register_module()
class AVSegFormerHead(BaseModule):
    """Maps of a picture and its second of sound to logits.

    Args:
        in_channels: Channels of the image backbone's maps at strides 4, 8, 16 and 32.
        audio_channels: Of the audio backbone's last map.
        num_classes: Classes with background; of two, a single logit tells them apart.
        embed_dims: D.
        num_queries: Q.
        num_layers: Of the query generator, the encoder and the decoder alike.
        num_heads: Attention heads of all of them.
        feedforward_channels: Hidden width in encoder, decoder and the network over the queries; the
            query generator has half of it.
        dropout: In encoder and decoder.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        audio_channels: int,
        num_classes: int,
        embed_dims: int = 256,
        num_queries: int = 300,
        num_layers: int = 6,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.in_channels = list(in_channels)
        self.audio_proj = nn.Linear(audio_channels, embed_dims)
        self.input_convs = nn.ModuleList(
            _conv_norm(width, embed_dims, 1, activate=False) for width in in_channels
        )
        self.query_generator = QueryGenerator(
            num_queries=num_queries,
            embed_dims=embed_dims,
            num_layers=num_layers,
            num_heads=num_heads,
            feedforward_channels=feedforward_channels // 2,
        )
        self.query_embed = nn.Embedding(num_queries, embed_dims)
        self.level_embed = nn.Embedding(len(in_channels) - 1, embed_dims)
        self.encoder = nn.ModuleList(
            DeformableDetrTransformerEncoderLayer(
                self_attn_cfg=dict(
                    embed_dims=embed_dims,
                    num_heads=num_heads,
                    num_levels=len(in_channels) - 1,
                    num_points=4,
                    dropout=dropout,
                    batch_first=True,
                ),
                ffn_cfg=dict(
                    embed_dims=embed_dims,
                    feedforward_channels=feedforward_channels,
                    ffn_drop=dropout,
                    act_cfg=dict(type="GELU"),
                ),
            )
            for _ in range(num_layers)
        )
        self.decoder = nn.ModuleList(
            nn.TransformerDecoderLayer(
                embed_dims, num_heads, feedforward_channels, dropout, "gelu", batch_first=True
            )
            for _ in range(num_layers)
        )
        self.lateral_conv = _conv_norm(embed_dims, embed_dims, 1, activate=False)
        self.output_conv = _conv_norm(embed_dims, embed_dims, 3, activate=True)
        self.gate = ChannelGate(embed_dims=embed_dims, num_heads=num_heads)
        self.query_mixer = nn.Sequential(
            nn.Conv2d(num_queries, feedforward_channels, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(feedforward_channels, feedforward_channels, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(feedforward_channels, embed_dims, 1),
        )
        self.classifier = nn.Sequential(
            nn.Conv2d(embed_dims, embed_dims // 2, 3, padding=1),
            nn.Upsample(scale_factor=4, mode="bilinear", align_corners=False),
            nn.Conv2d(embed_dims // 2, embed_dims // 8, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(embed_dims // 8, 1 if num_classes == 2 else num_classes, 1, bias=False),
        )

    def forward(self, feature_maps: Sequence[Tensor], sounds: Sequence[Tensor]) -> DenseOutput:
        """Segment.

        Args:
            feature_maps: (B, C_l, h_l, w_l), finest first.
            sounds: Of the audio backbone; the last, (B, audio_channels, T, F), is heard as its
                mean.

        Returns:
            DenseOutput: Logits (B, C or 1, 4 h, 4 w), and the mask features after the gate,
            (B, D, h, w), from which a loss reads a mask.
        """
        sound = self.audio_proj(sounds[-1].mean((2, 3))).unsqueeze(1)
        fine, memories = self._encode(feature_maps)
        query = self.query_generator(sound) + self.query_embed.weight
        tokens = torch.cat([memory.flatten(2).transpose(1, 2) for memory in memories], 1)
        for layer in self.decoder:
            query = layer(query, tokens)

        grown = F.interpolate(
            memories[0], size=fine.shape[-2:], mode="bilinear", align_corners=False
        )
        mask_features = self.gate(self.output_conv(self.lateral_conv(fine) + grown), sound)
        found = self.query_mixer(torch.einsum("bqd,bdhw->bqhw", query, mask_features))
        return DenseOutput(self.classifier(mask_features + found), (mask_features,))

    def _encode(self, feature_maps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The map at stride 4 in width D, and those at 8, 16 and 32 after the encoder.

        In float32 under autocast: mmcv's kernel has no bfloat16.
        """
        fine, *maps = (conv(one) for conv, one in zip(self.input_convs, feature_maps, strict=True))
        with torch.autocast(fine.device.type, enabled=False):
            memories = encode_maps(
                [full_precision(one) for one in maps],
                self.encoder,
                self.level_embed.weight,
                normalize=False,
            )
        return fine, memories


def _conv_norm(width_in: int, width_out: int, kernel: int, *, activate: bool) -> ConvModule:
    return ConvModule(
        width_in,
        width_out,
        kernel,
        padding=kernel // 2,
        bias=True,
        norm_cfg=dict(type="GN", num_groups=32),
        act_cfg=dict(type="ReLU") if activate else None,
    )
