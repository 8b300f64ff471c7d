"""VGGish with its dense layers: 0.96 s of sound to one vector.

After https://github.com/harritaylor/torchvggish (Apache-2.0), whose parameter names these are.

Shorthand: B batch, A audio channels, T spectrogram frames, F = 256 linear bins, M = 64 mel bands,
D width of the vector.
"""

from abc import abstractmethod
from itertools import pairwise
from math import ceil
from typing import Any

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..memory_layout import fast_layout
from ..spectrogram import HOP_LENGTH, MEL_BANDS, DropBin, compress, mel_filters
from .vggish import STAGES, VGGish

FRAMES = 96  # that the dense layers fit
HIDDEN = 4096  # their width


class DenseVGGish(VGGish):
    """VGGish to its last ReLU; a subclass says what it hears.

    Args:
        in_channels: Audio channels A; pretrained mono weights are spread over them.
        embed_dims: D.
        filters: From linear bins to bands, (F, M).
        drop_bin: Which bin the data preprocessor drops.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE)``, FILE from tools/prepare_weights.py.
    """

    filters: Tensor

    def __init__(
        self,
        *,
        in_channels: int,
        embed_dims: int,
        filters: Tensor,
        drop_bin: DropBin,
        init_cfg: dict[str, Any] | None,
    ) -> None:
        super().__init__(in_channels=in_channels, out_indices=(len(STAGES) - 1,), init_cfg=init_cfg)
        self.out_channels = (embed_dims,)
        self.drop_bin = drop_bin
        self.register_buffer("filters", filters, persistent=False)
        flat = STAGES[-1][-1] * (FRAMES // 16) * (MEL_BANDS // 16)  # the last map has stride 16
        layers: list[nn.Module] = []
        for width, out in pairwise((flat, HIDDEN, HIDDEN, embed_dims)):
            layers += [nn.Linear(width, out), nn.ReLU(inplace=True)]
        self.embeddings = nn.Sequential(*layers)

    def forward(self, specgram: Tensor) -> tuple[Tensor, ...]:
        """(B, A, T, F) linear magnitude, T at least 96, to one map (B, D, 1, 1)."""
        return (self.embed(self.log_mel(specgram))[..., None, None],)

    @abstractmethod
    def log_mel(self, specgram: Tensor) -> Tensor:
        """What VGGish hears, (B, A, 96, M) float32, of linear magnitude (B, A, T, F)."""

    def embed(self, log_mel: Tensor) -> Tensor:
        """(B, A, 96, M) to (B, D), not below 0."""
        maps = self.features(fast_layout(log_mel))
        # TensorFlow's order, in which the dense layers were trained.
        return self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))


def take_frames(specgram: Tensor, *, at: float) -> Tensor:
    """The 96 frames that the dense layers take of (B, A, T, F): at 0 the first ones, at 1 the last.

    Raises:
        ValueError: There are fewer.
    """
    frames = specgram.shape[-2]
    if frames < FRAMES:
        raise ValueError(
            f"the sound has {frames} spectrogram frames and VGGish's dense layers take {FRAMES}: "
            f"give at least {FRAMES * HOP_LENGTH} samples at 16 kHz"
        )
    return specgram.narrow(-2, ceil(at * (frames - FRAMES)), FRAMES)


def log_mel(specgram: Tensor, filters: Tensor) -> Tensor:
    """VGGish's own input, in float32.

    Args:
        specgram: (B, A, T, F) linear magnitude. Of more than 96 frames the middle ones are taken;
            those of ``LoadVGGishExample`` are then just where torchvggish has them.
        filters: Of ``mel_filters``, (F, M).

    Returns:
        (B, A, 96, M).
    """
    with torch.autocast(specgram.device.type, enabled=False):
        return compress(take_frames(specgram, at=0.5).float() @ filters)


@MODELS.register_module()
class VGGishEmbedding(DenseVGGish):
    """What TPAVI and AVSegFormer hear with, without the PCA of AudioSet's own embeddings.

    It never learns: no parameter has a gradient. D is 128.

    Args:
        in_channels: Audio channels A; pretrained mono weights are spread over them.
        drop_bin: Which bin the data preprocessor drops.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE)``, FILE from tools/prepare_weights.py.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        drop_bin: DropBin = "nyquist",
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            embed_dims=128,
            filters=mel_filters(drop_bin=drop_bin),
            drop_bin=drop_bin,
            init_cfg=init_cfg,
        )
        self.requires_grad_(False)

    def log_mel(self, specgram: Tensor) -> Tensor:
        """See the function of this name."""
        return log_mel(specgram, self.filters)
