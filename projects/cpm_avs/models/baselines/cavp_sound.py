"""What CAVP hears: twice the decibels of 64 bands up to 3800 Hz, in one vector a sound.

Shorthand: B batch, A audio channels, T spectrogram frames, F = 256 linear bins, M = 64 mel bands, D
width of the vector.
"""

from typing import Any

import torch
from mmseg.models.backbones import ResNet
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import SoundMap
from ..audio_backbones.pretrained_weights import spread_over_channels
from ..audio_backbones.vggish_embedding import DenseVGGish, take_frames
from ..audio_backbones.yamnet import YAMNet
from ..memory_layout import fast_layout
from ..spectrogram import (
    MEL_BANDS,
    MEL_F_MIN,
    DropBin,
    hertz_to_mel,
    hertz_triangles,
)

F_MAX = 3800.0  # Hz
QUIETEST = 1e-5  # of the power


def cavp_filters(drop_bin: DropBin = "nyquist") -> Tensor:
    """Filters as torchaudio's, 125 to 3800 Hz: centres apart in mel, sides straight in Hz.

    Returns:
        (256, 64) float32, no area normalisation.
    """
    low, high = hertz_to_mel(torch.tensor([MEL_F_MIN, F_MAX], dtype=torch.float64))
    steps = torch.arange(MEL_BANDS + 2, dtype=torch.float64) / (MEL_BANDS + 1)
    edges = 700 * ((low + (high - low) * steps) / 1127).expm1()
    return hertz_triangles(edges, drop_bin).float()


def cavp_log_mel(specgram: Tensor, filters: Tensor) -> Tensor:
    """20 log10 of the mel power, over 100: silence is -1.

    Args:
        specgram: Linear magnitude (B, A, T, F).
        filters: (F, M).

    Returns:
        (B, A, T, M) float32.
    """
    with torch.autocast(specgram.device.type, enabled=False):
        power = specgram.float().square() @ filters
        return power.clamp_min(QUIETEST).log10() / 5


@MODELS.register_module()
class CAVPVGGish(DenseVGGish):
    """VGGish with its dense layers, the last one of another width, on CAVP's own log-mel.

    Args:
        in_channels: Audio channels A; pretrained mono weights are spread over them.
        embed_dims: D.
        drop_bin: Which bin the data preprocessor drops.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE)``, FILE from ``tools/prepare_weights.py
            vggish-dense``; the last layer starts at random.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        embed_dims: int = 304,
        drop_bin: DropBin = "nyquist",
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            embed_dims=embed_dims,
            filters=cavp_filters(drop_bin),
            drop_bin=drop_bin,
            init_cfg=init_cfg or dict(type="Kaiming", layer=["Conv2d", "Linear"]),
        )

    def log_mel(self, specgram: Tensor) -> Tensor:
        """(B, A, T, 256) linear magnitude to (B, A, 96, 64), of the first 96 frames."""
        return cavp_log_mel(take_frames(specgram, at=0), self.filters)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        last, width = f"{prefix}embeddings.4.", self.embeddings[4].out_features
        for name in ("weight", "bias"):
            if len(state_dict.get(last + name, ())) not in (0, width):
                del state_dict[last + name]  # AudioSet's of 128
        super()._load_from_state_dict(state_dict, prefix, *args)


@MODELS.register_module()
class CAVPResNet18(ResNet):
    """ResNet-18 on CAVP's log-mel, its last map pooled to its largest values.

    Args:
        in_channels: Audio channels A; ImageNet's kernel is summed over the colours and spread over
            them.
        embed_dims: D.
        drop_bin: Which bin the data preprocessor drops.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE)``, or None for a random start.
    """

    filters: Tensor

    def __init__(
        self,
        *,
        in_channels: int = 1,
        embed_dims: int = 304,
        drop_bin: DropBin = "nyquist",
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            18, in_channels=in_channels, out_indices=(3,), zero_init_residual=False,
            init_cfg=init_cfg,
        )  # fmt: skip
        self.in_channels = in_channels
        spread_over_channels(self.conv1)
        self.out_channels = (embed_dims,)
        self.drop_bin = drop_bin
        self.register_buffer("filters", cavp_filters(drop_bin), persistent=False)
        self.fc = nn.Linear(self.feat_dim, embed_dims)

    def forward(self, specgram: Tensor) -> tuple[Tensor]:
        """(B, A, T, 256) linear magnitude to one map (B, D, 1, 1)."""
        return (self.embed(self.log_mel(specgram))[..., None, None],)

    def log_mel(self, specgram: Tensor) -> Tensor:
        """(B, A, T, 256) linear magnitude to (B, A, T, 64)."""
        return cavp_log_mel(specgram, self.filters)

    def embed(self, log_mel: Tensor) -> Tensor:
        """(B, A, T, 64) to (B, D)."""
        (x,) = super().forward(fast_layout(log_mel))
        return self.fc(x.amax((2, 3)))


@MODELS.register_module()
class CAVPYAMNet(YAMNet):
    """YAMNet in place of VGGish, whose weights can't be fetched: its last map in one vector.

    Args:
        embed_dims: D.
        kwargs: Arguments of ``YAMNet``.
    """

    def __init__(self, *, embed_dims: int = 304, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fc = nn.Linear(self.out_channels[-1], embed_dims)
        self.out_channels = (embed_dims,)

    def own_maps(self, specgram: Tensor) -> tuple[SoundMap, ...]:
        """(B, A, T, 256) linear magnitude to one map (B, D, 1, 1)."""
        largest = super().own_maps(specgram)[-1].linear().amax((2, 3))
        return (SoundMap(self.fc(largest)[..., None, None]),)
