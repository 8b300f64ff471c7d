"""Spectrogram masks of the prompts: m_k^a = z~^k . u~_a (Sec. 3.2.2)."""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...structures import AudioFeatures, SoundMap


class AudioMaskHead(BaseModule):
    """Decodes the dense audio embedding u~_a top-down and lets the prompts search it.

    Args:
        in_channels: Channels of the audio backbone's maps, finest first; the finest has stride 4.
        embed_dims: D.
    """

    def __init__(self, *, in_channels: Sequence[int], embed_dims: int) -> None:
        super().__init__()
        norm = dict(type="GN", num_groups=32)
        finer = list(in_channels[:-1])
        self.laterals = nn.ModuleList(
            ConvModule(channels, embed_dims, 1, norm_cfg=norm, act_cfg=None) for channels in finer
        )
        # Separable: full 3x3 convolutions at stride 4 would cost more than the audio backbone.
        self.outputs = nn.ModuleList(
            DepthwiseSeparableConvModule(
                embed_dims, embed_dims, 3, padding=1, norm_cfg=norm, pw_act_cfg=None
            )
            for _ in finer
        )
        self.mask_embed = nn.Sequential(
            nn.Linear(embed_dims, embed_dims),
            nn.ReLU(),
            nn.Linear(embed_dims, embed_dims),
        )

    def forward(self, embeddings: Tensor, audio: AudioFeatures) -> Tensor:
        """Mask logits of prompts.

        Args:
            embeddings: Decoded prompts z~, (B, Q, D).
            audio: Features of the mixed sound.

        Returns:
            Tensor: (B, Q, T/4, F/4).
        """
        dense = audio.memory
        parts: list[tuple[SoundMap, ConvModule, nn.Module]] = list(
            zip(audio.levels, self.laterals, self.outputs, strict=False)
        )
        for level, lateral, output in reversed(parts):
            fine = lateral.norm(level.linear(lateral.conv))
            size = fine.shape[-2:]
            upsampled = F.interpolate(dense, size, mode="bilinear", align_corners=False)
            dense = output(upsampled.add_(fine))
        # Scaled as in attention: without it a third of the ratios that the sigmoid of eq. 5 makes
        # of the summed logits would start at its flat ends.
        embeddings = self.mask_embed(embeddings) / math.sqrt(dense.shape[1])
        # Channels stand last, as the convolutions have them, so that their gradients do, too.
        masks = dense.permute(0, 2, 3, 1).flatten(1, 2) @ embeddings.transpose(1, 2)
        return masks.transpose(1, 2).unflatten(2, dense.shape[-2:])
