"""HTS-AT, a Swin-T on ten seconds of sound, its maps on the linear spectrogram's lattice.

Facts from https://github.com/RetroCirce/HTS-Audio-Transformer (MIT). The log-mel of 1024 frames and
64 bands is cut in time into four pieces of 256 frames, which are laid above one another, so that a
Swin with windows of 8 x 8 patches sees a square of 256 x 256. Its fourth stage, at stride 32, and
the classifier are not here.

Shorthand: B batch, A audio channels, T frames, M = 64 mel bands.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any

from mmengine.model import BaseModule
from mmseg.models.backbones import SwinTransformer
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import SoundMap
from ..memory_layout import fast_layout
from ..spectrogram import MEL_BANDS, DropBin
from .mel_maps import MelMaps
from .panns_mel import HTSAT_32K
from .pretrained_weights import spread_over_channels
from .yamnet import mel_to_linear

FRAMES = 1024
PIECES = 4
STRIDES = (4, 8, 16)


def fold(bands: Tensor) -> Tensor:
    """(B, A, 1024, M) to the square that Swin sees, (B, A, 4 M, 256): pieces above one another."""
    return bands.transpose(2, 3).unflatten(3, (PIECES, -1)).transpose(2, 3).flatten(2, 3)


def unfold(square: Tensor) -> Tensor:
    """A map of the square, (B, C, 4 m, t), to time and bands, (B, C, 4 t, m)."""
    return square.unflatten(2, (PIECES, -1)).transpose(3, 4).flatten(2, 3)


def repeated(bands: Tensor) -> Tensor:
    """(B, A, T, M) again and again, to a multiple of 1024 frames; in pieces of that, (B n, ...)."""
    frames = bands.shape[2]
    whole = ceil(frames / FRAMES) * FRAMES
    filled = bands.repeat(1, 1, ceil(whole / frames), 1)[:, :, :whole]
    return filled.unflatten(2, (-1, FRAMES)).transpose(1, 2).flatten(0, 1)


@MODELS.register_module()
class HTSAT(MelMaps, BaseModule):
    """Maps of HTS-AT (AudioSet, 32 kHz) at strides 4, 8 and 16 on the (T, 256) lattice, any T.

    A sound shorter than 10.24 s is repeated, as its authors do at inference; what is longer is
    heard in pieces of it. Ours has nothing above 8 kHz, where HTS-AT has its nine highest bands: it
    hears them silent, as of any recording at 16 kHz. Each map has a layer norm of its own, which
    starts as 1 and 0 and is not HTS-AT's.

    Args:
        in_channels: Audio channels A; pretrained mono weights are spread over them.
        embed_dims: Channels of the first map; the others have twice and four times as many.
        depths: Blocks of the three stages.
        num_heads: Attention heads of the three stages.
        drop_path_rate: Stochastic depth.
        frozen_stages: 0: the patches' embedding gets no gradient, i: the first i stages neither.
        with_cp: Whether blocks are computed again going backwards, to save memory.
        drop_bin: Which bin the data preprocessor drops.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE)``, FILE from tools/prepare_weights.py.
    """

    filters: Tensor

    def __init__(
        self,
        *,
        in_channels: int = 1,
        embed_dims: int = 96,
        depths: Sequence[int] = (2, 2, 6),
        num_heads: Sequence[int] = (4, 8, 16),
        drop_path_rate: float = 0.1,
        frozen_stages: int = -1,
        with_cp: bool = False,
        drop_bin: DropBin = "nyquist",
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.bn0 = nn.BatchNorm2d(MEL_BANDS)
        self.swin = SwinTransformer(
            in_channels=in_channels,
            embed_dims=embed_dims,
            depths=tuple(depths),
            num_heads=tuple(num_heads),
            strides=(4, 2, 2),
            window_size=8,
            out_indices=(0, 1, 2),
            drop_path_rate=drop_path_rate,
            frozen_stages=frozen_stages,
            with_cp=with_cp,
        )
        self.in_channels = in_channels
        spread_over_channels(self.swin.patch_embed.projection)
        self.out_channels = tuple(embed_dims * 2**i for i in range(3))
        self.out_strides = STRIDES
        self.drop_bin = drop_bin
        self.register_buffer("filters", HTSAT_32K.filters(drop_bin), persistent=False)
        for stride in STRIDES:
            matrix = mel_to_linear(stride, drop_bin, HTSAT_32K.band_position)
            self.register_buffer(f"to_linear_{stride}", matrix, persistent=False)
        self.bn0.requires_grad_(False)

    def own_maps(self, specgram: Tensor) -> tuple[SoundMap, ...]:
        """See ``MelMaps``."""
        batch, frames = specgram.shape[0], specgram.shape[2]
        bands = HTSAT_32K.log_mel(specgram, self.filters)
        normed = self.bn0(bands.transpose(1, 3)).transpose(1, 3)
        squares = self.swin(fold(repeated(normed)))
        maps: list[SoundMap] = []
        for stride, square in zip(STRIDES, squares, strict=True):
            pieces = unfold(square).unflatten(0, (batch, -1))
            x = pieces.transpose(1, 2).flatten(2, 3)[:, :, : ceil(frames / stride)]
            maps.append(SoundMap(fast_layout(x), self.get_buffer(f"to_linear_{stride}")))
        return tuple(maps)

    def train(self, mode: bool = True) -> "HTSAT":
        """Training mode; the statistics of the bands, which are AudioSet's, stay."""
        super().train(mode)
        self.bn0.eval()
        return self
