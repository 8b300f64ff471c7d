"""TPAVI's head: pixels of a clip ask its sounds, at four levels.

Zhou et al., "Audio-Visual Segmentation", ECCV 2022 (https://arxiv.org/abs/2207.05042), after
https://github.com/OpenNLPLab/AVSBench (f7414af): the network and its numbers are the same
(``tests/test_tpavi.py``), written afresh. There attention is an affinity of all N pixels of the
clip with one another, divided by N, and has no softmax: (theta phi^T / N) g is
theta (phi^T g) / N, which needs no N x N matrix, and since all pixels of a frame have the same key,
g need only be summed over each frame.

Shorthand: F frames of all clips, S width of the sound's vector, D width, h w size of a map.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import DenseOutput

DILATIONS = (3, 6, 12, 18)


class DilatedSum(nn.Module):
    """Four dilated convolutions of a map, added up.

    Args:
        in_channels: Of the map.
        channels: Of the result.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(in_channels, channels, 3, padding=dilation, dilation=dilation)
            for dilation in DILATIONS
        )

    def forward(self, x: Tensor) -> Tensor:
        """(F, in_channels, h, w) to (F, channels, h, w)."""
        first, *others = self.convs
        total = first(x)
        for conv in others:
            total = total + conv(x)
        return total


class TemporalAttention(nn.Module):
    """Temporal pixel-wise audio-visual interaction: every pixel asks the sounds of its clip.

    Args:
        audio_channels: S.
        embed_dims: D.
        sound_bias: Whether the sound's projection has a bias.
    """

    def __init__(self, *, audio_channels: int, embed_dims: int, sound_bias: bool) -> None:
        super().__init__()
        hidden = embed_dims // 2
        self.align = nn.Linear(audio_channels, embed_dims, bias=sound_bias)
        self.theta, self.phi, self.g = (nn.Conv2d(embed_dims, hidden, 1) for _ in range(3))
        norm = nn.BatchNorm2d(embed_dims)
        nn.init.zeros_(norm.weight)  # nothing is added at first
        self.out = nn.Sequential(nn.Conv2d(hidden, embed_dims, 1), norm)
        self.norm = nn.LayerNorm(embed_dims)

    def forward(self, maps: Tensor, sounds: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Attend.

        Args:
            maps: (F, D, h, w).
            sounds: (F, S).
            share: Of ``shares``, (F, F).

        Returns:
            tuple: Maps (F, D, h, w), and the sounds at their width, (F, D).
        """
        sounds = self.align(sounds)
        key = self.phi(sounds[..., None, None]).flatten(1)
        value = self.g(maps).mean((2, 3))  # over a frame; the division by T is the share's
        reply = torch.einsum("fe,ek,ev->fkv", share, key, value)
        attended = torch.einsum("fkhw,fkv->fvhw", self.theta(maps), reply)
        maps = maps + self.out(attended)
        return self.norm(maps.movedim(1, -1)).movedim(-1, 1), sounds


class ResidualUnit(nn.Module):
    """Two convolutions on the positive part of a map, which is also what they are added to.

    The original's ReLU overwrites the unit's input.

    Args:
        channels: Of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """(F, D, h, w) to the same shape."""
        x = x.relu()
        return x + self.conv2(self.conv1(x).relu())


class FusionBlock(nn.Module):
    """Adds a level's map to what comes from the coarser ones, and doubles the size.

    Args:
        channels: Of the maps.
        coarsest: Nothing comes from coarser ones.
    """

    def __init__(self, channels: int, *, coarsest: bool) -> None:
        super().__init__()
        self.lateral = None if coarsest else ResidualUnit(channels)
        self.merged = ResidualUnit(channels)

    def forward(self, maps: Tensor, coarser: Tensor | None = None) -> Tensor:
        """(F, D, h, w), and of the coarser levels the same, to (F, D, 2 h, 2 w)."""
        if self.lateral is not None:
            maps = coarser + self.lateral(maps)
        maps = self.merged(maps)
        return F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=True)


@MODELS.register_module()
class TPAVIHead(BaseModule):
    """Everything between the backbones and the classes' logits.

    Args:
        in_channels: Channels of the image backbone's maps at strides 4, 8, 16 and 32.
        audio_channels: S, channels of the audio backbone's last map.
        num_classes: C, classes with background; of two, a single logit tells them apart.
        embed_dims: D.
        clip_length: Frames that see one another; of a longer clip each so many, one after another.
        sound_bias: Whether the sound's projection has a bias; the original's has one for two
            classes, and none for 71, where it pads clips with silence.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        audio_channels: int,
        num_classes: int,
        embed_dims: int = 256,
        clip_length: int = 5,
        sound_bias: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels = list(in_channels)
        self.num_classes = num_classes
        self.clip_length = clip_length
        self.reduce = nn.ModuleList(DilatedSum(width, embed_dims) for width in in_channels)
        self.attention = nn.ModuleList(
            TemporalAttention(
                audio_channels=audio_channels, embed_dims=embed_dims, sound_bias=sound_bias
            )
            for _ in in_channels
        )
        levels = range(len(self.in_channels))
        self.fusion = nn.ModuleList(
            FusionBlock(embed_dims, coarsest=level == levels[-1]) for level in levels
        )
        self.classifier = nn.Sequential(
            nn.Conv2d(embed_dims, embed_dims // 2, 3, padding=1),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            nn.Conv2d(embed_dims // 2, embed_dims // 8, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(embed_dims // 8, 1 if num_classes == 2 else num_classes, 1),
        )

    def forward(
        self, maps: Sequence[Tensor], sounds: Sequence[Tensor], clip_lengths: Sequence[int]
    ) -> DenseOutput:
        """Segment.

        Args:
            maps: Of the image backbone, (F, C_l, h_l, w_l), finest first.
            sounds: Of the audio backbone; the mean of the last map (F, S, ...) is read.
            clip_lengths: Frames of each clip, one after another; F together.

        Returns:
            DenseOutput: Logits (F, C or 1, 4 h, 4 w), and for the matching loss the positive parts
            of each level's maps after the attention, finest first, and behind them each level's
            sounds (F, D).
        """
        vectors = sounds[-1].flatten(2).mean(2)
        share = shares(pieces(clip_lengths, self.clip_length)).to(vectors)
        seen, heard = [], []
        for level, reduce, attend in zip(maps, self.reduce, self.attention, strict=True):
            attended, sound = attend(reduce(level), vectors, share)
            seen.append(attended.relu())
            heard.append(sound)
        merged = None
        for level, fuse in zip(reversed(seen), reversed(self.fusion), strict=True):
            merged = fuse(level, merged)
        return DenseOutput(self.classifier(merged), (*seen, *heard))


def pieces(clip_lengths: Sequence[int], most: int) -> list[int]:
    """Lengths of the parts of at most ``most`` frames that clips are seen in."""
    return [
        min(most, length - start) for length in clip_lengths for start in range(0, length, most)
    ]


def shares(lengths: Sequence[int]) -> Tensor:
    """1 / T where two frames are of one piece of T, else 0, (F, F)."""
    return torch.block_diag(*(torch.full((length, length), 1 / length) for length in lengths))
