"""Spectrogram masks of the prompts: m_k^a = z~^k . u~_a (Sec. 3.2.2)."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...structures import AudioFeatures


class AudioMaskHead(BaseModule):
    """Lets the prompts search the dense audio embedding u~_a.

    From coarse to fine, u~_a is upsampled, and a projection of the backbone's map at the finer
    stride is added. All of that is linear in each channel, as the product with a prompt is. So u~_a
    itself, of D channels at stride 4, is never made: each map is multiplied with the prompts, of
    which there are a few, where it lies, and their masks are upsampled and added.

    Args:
        in_channels: Channels of the audio backbone's maps, finest first; the finest has stride 4.
        embed_dims: D.
    """

    def __init__(self, *, in_channels: Sequence[int], embed_dims: int) -> None:
        super().__init__()
        finer = in_channels[:-1]
        # Without affines, which the laterals have: PyTorch's backward pass of a norm that learns
        # breaks down on maps of frozen layers with channels last.
        self.norms = nn.ModuleList(
            nn.GroupNorm(math.gcd(32, width), width, affine=False) for width in finer
        )
        self.laterals = nn.ModuleList(nn.Linear(width, embed_dims, bias=False) for width in finer)
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
        # Scaled as in attention: without it a third of the ratios that the sigmoid of eq. 5 makes
        # of the summed logits would start at its flat ends.
        embeddings = self.mask_embed(embeddings) / math.sqrt(embeddings.shape[-1])
        masks = _product(embeddings, audio.memory)
        for level, norm, lateral in reversed(
            list(zip(audio.levels, self.norms, self.laterals, strict=False))
        ):
            own = _product(embeddings @ lateral.get_parameter("weight"), norm(level.cells))
            finer = replace(level, cells=own).linear()
            coarser = F.interpolate(masks, finer.shape[-2:], mode="bilinear", align_corners=False)
            masks = coarser + finer
        return masks


def _product(embeddings: Tensor, cells: Tensor) -> Tensor:
    """(B, Q, C) and a map (B, C, h, w) to (B, Q, h, w)."""
    # Channels stand last, as the convolutions have them, so that their gradients do, too.
    masks = cells.permute(0, 2, 3, 1).flatten(1, 2) @ embeddings.transpose(1, 2)
    return masks.transpose(1, 2).unflatten(2, cells.shape[-2:])
