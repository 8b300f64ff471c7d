"""CAVP's head: DeepLabV3+ whose pixels look at one token of sound.

Chen et al., "Unraveling Instance Associations: A Closer Look for Audio-Visual Segmentation", CVPR
2024, after https://github.com/cyh-0/CAVP (96a6c34), which has no licence: the network and its
numbers are the same (``tests/test_cavp.py``), the code is not.

Shorthand: B batch, D width, C classes with background, N M tokens, h w map at stride 4.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import BaseModule
from mmseg.models.decode_heads.aspp_head import ASPPModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import DenseOutput

RATES = (1, 6, 12, 18)
BATCH_NORM = dict(type="BN", requires_grad=True)
LEAKY = dict(type="LeakyReLU", negative_slope=0.01)
GELU = dict(type="GELU")


class PyramidPooling(nn.Module):
    """ASPP with mmseg's branches; they and the pooled image meet in a 1x1 convolution.

    Args:
        in_channels: Of the map.
        channels: Of each branch and of the result.
    """

    def __init__(self, *, in_channels: int, channels: int) -> None:
        super().__init__()
        settings = dict(norm_cfg=BATCH_NORM, act_cfg=LEAKY)
        self.branches = ASPPModule(RATES, in_channels, channels, None, BATCH_NORM, LEAKY)
        self.image_pool = ConvModule(in_channels, channels, 1, **settings)
        self.bottleneck = ConvModule((len(RATES) + 1) * channels, channels, 1, **settings)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, channels, H, W)."""
        pooled = self.image_pool(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        return self.bottleneck(torch.cat([*self.branches(x), pooled], 1))


class SigmoidAttention(nn.Module):
    """Attention whose weights are sigmoids: with one key a softmax would give each query all of it.

    Args:
        embed_dims: D.
        num_heads: Heads.
    """

    def __init__(self, *, embed_dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v = (nn.Linear(embed_dims, embed_dims, bias=False) for _ in range(3))
        self.proj = nn.Linear(embed_dims, embed_dims)

    def forward(self, asking: Tensor, asked: Tensor) -> Tensor:
        """(B, N, D) looks at (B, M, D); gives (B, N, D)."""
        value = self.attention(asking, asked) @ self._by_head(self.v(asked))
        return self.proj(value.transpose(1, 2).flatten(2))

    def attention(self, asking: Tensor, asked: Tensor) -> Tensor:
        """Weights in [0, 1], (B, heads, N, M)."""
        query, key = self._by_head(self.q(asking)), self._by_head(self.k(asked))
        return (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).sigmoid()

    def _by_head(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


class CrossAttentionBlock(nn.Module):
    """One layer: both sides share a norm, and what the attention finds adds to the normed value.

    Args:
        embed_dims: D.
        num_heads: Heads.
    """

    def __init__(self, *, embed_dims: int, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dims)
        self.attn = SigmoidAttention(embed_dims=embed_dims, num_heads=num_heads)
        self.norm2 = nn.LayerNorm(embed_dims)
        self.ffn = FFN(embed_dims, 4 * embed_dims, act_cfg=GELU)

    def forward(self, asking: Tensor, asked: Tensor) -> Tensor:
        """(B, N, D) looks at (B, M, D); gives (B, N, D)."""
        x, other = self.norm1(asking), self.norm1(asked)
        x = x + self.attn(x, other)
        return self.ffn(self.norm2(x), identity=x)


class SoundFusion(nn.Module):
    """Pixels look at the sound.

    Published weights have position embeddings and a sound that looks at the pixels, too; neither
    ever reached a result, and neither is here.

    Args:
        embed_dims: D.
        num_heads: Heads.
    """

    def __init__(self, *, embed_dims: int, num_heads: int) -> None:
        super().__init__()
        self.embed_visual = nn.Linear(embed_dims, embed_dims)
        self.embed_sound = nn.Linear(embed_dims, embed_dims)
        self.block = CrossAttentionBlock(embed_dims=embed_dims, num_heads=num_heads)
        self.norm = nn.LayerNorm(embed_dims)

    def forward(self, visual: Tensor, sound: Tensor) -> Tensor:
        """Pixels (B, N, D) and a token of sound (B, 1, D) to pixels (B, N, D)."""
        return self.norm(self.block(self.embed_visual(visual), self.embed_sound(sound)))


@MODELS.register_module()
class CAVPHead(BaseModule):
    """Everything between the backbones and the classes' logits.

    Args:
        in_channels: Channels of the image backbone's maps; the first, at stride 4, and the last are
            read.
        num_classes: C, classes with background.
        embed_dims: D, channels of pixels and sound where they meet.
        low_level_channels: Those of them that come from stride 4.
        feedforward_channels: Hidden width of the pixels' projection.
        num_heads: Heads of the attention.
    """

    in_strides = None  # any: a dilated backbone has its last map at stride 8 or 16

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        num_classes: int,
        embed_dims: int = 304,
        low_level_channels: int = 48,
        feedforward_channels: int = 256,
        num_heads: int = 4,
    ) -> None:
        super().__init__()
        self.in_channels = list(in_channels)
        self.num_classes = num_classes
        self.embed_dims = embed_dims
        channels = embed_dims - low_level_channels
        self.aspp = PyramidPooling(in_channels=self.in_channels[-1], channels=channels)
        norm = dict(norm_cfg=BATCH_NORM)
        self.reduce = ConvModule(self.in_channels[0], low_level_channels, 1, **norm)
        self.projector = FFN(embed_dims, feedforward_channels, act_cfg=GELU, add_identity=False)
        self.fusion = SoundFusion(embed_dims=embed_dims, num_heads=num_heads)
        self.last_convs = nn.Sequential(
            ConvModule(embed_dims, channels, 3, padding=1, **norm),
            ConvModule(channels, channels, 3, padding=1, **norm),
        )
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def describe(self, maps: Sequence[Tensor]) -> Tensor:
        """What the pixels look like, (B, D, h, w), of the image backbone's maps."""
        fine, coarse = self.reduce(maps[0]), self.aspp(maps[-1])
        coarse = F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=True)
        pixels = torch.cat([coarse, fine], 1)
        return _map(self.projector(_tokens(pixels)), pixels)

    def fuse(self, visual: Tensor, sound: Tensor) -> Tensor:
        """What the pixels (B, D, h, w) are to a sound (B, D): (B, D, h, w)."""
        return _map(self.fusion(_tokens(visual), sound.unsqueeze(1)), visual)

    def classify(self, fused: Tensor) -> Tensor:
        """Logits (B, C, h, w) of fused pixels (B, D, h, w)."""
        return self.classifier(self.last_convs(fused))

    def forward(self, maps: Sequence[Tensor], sounds: Sequence[Tensor]) -> DenseOutput:
        """Logits, and the fused pixels that they come from.

        Args:
            maps: Of the image backbone.
            sounds: Of the audio backbone; the last, (B, D, 1, 1), is read.
        """
        fused = self.fuse(self.describe(maps), sounds[-1].flatten(1))
        return DenseOutput(self.classify(fused), (fused,))


def _tokens(pixels: Tensor) -> Tensor:
    """(B, D, h, w) to (B, h * w, D)."""
    return pixels.flatten(2).transpose(1, 2)


def _map(tokens: Tensor, like: Tensor) -> Tensor:
    """(B, h * w, D) to (B, D, h, w), the height and width those of ``like``."""
    return tokens.transpose(1, 2).unflatten(2, like.shape[-2:])
