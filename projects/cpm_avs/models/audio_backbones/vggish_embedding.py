"""The whole of VGGish (AudioSet), frozen: 0.96 s of sound to 128 numbers.

What TPAVI and AVSegFormer hear with, after https://github.com/harritaylor/torchvggish (Apache-2.0).

Shorthand: B batch, A audio channels, T spectrogram frames, F = 256 linear bins, M = 64 mel bands.
"""

from typing import Any

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..memory_layout import fast_layout
from ..spectrogram import HOP_LENGTH, DropBin, compress, mel_filters
from .vggish import STAGES, VGGish

FRAMES = 96  # that the dense layers fit
_CELLS = FRAMES // 16 * 4  # of the last map, which has stride 16
WIDTHS = (4096, 4096, 128)


def log_mel(specgram: Tensor, filters: Tensor) -> Tensor:
    """VGGish's input, in float32.

    Args:
        specgram: (B, A, T, F) linear magnitude. Of more than 96 frames the middle ones are taken;
            those of ``LoadVGGishExample`` are then just where torchvggish has them.
        filters: Of ``mel_filters``, (F, M).

    Returns:
        (B, A, 96, M).
    """
    spare = specgram.shape[-2] - FRAMES
    if spare < 0:
        raise ValueError(
            f"the sound has {FRAMES + spare} spectrogram frames and VGGish's dense layers take "
            f"{FRAMES}: give at least {FRAMES * HOP_LENGTH} samples at 16 kHz"
        )
    with torch.autocast(specgram.device.type, enabled=False):
        return compress(specgram.narrow(-2, (spare + 1) // 2, FRAMES).float() @ filters)


@MODELS.register_module()
class VGGishEmbedding(VGGish):
    """VGGish to its last ReLU, without the PCA that AudioSet's own embeddings went through.

    It never learns: no parameter has a gradient. Names are torchvggish's ``features.*`` and
    ``embeddings.*``.

    Args:
        in_channels: Audio channels A; pretrained mono weights are spread over them.
        drop_bin: Which bin the data preprocessor drops.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE)``, FILE from tools/prepare_weights.py.
    """

    filters: Tensor

    def __init__(
        self,
        *,
        in_channels: int = 1,
        drop_bin: DropBin = "nyquist",
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(in_channels=in_channels, out_indices=(len(STAGES) - 1,), init_cfg=init_cfg)
        layers: list[nn.Module] = []
        width_in = _CELLS * STAGES[-1][-1]
        for width in WIDTHS:
            layers += [nn.Linear(width_in, width), nn.ReLU(inplace=True)]
            width_in = width
        self.embeddings = nn.Sequential(*layers)
        self.drop_bin = drop_bin
        self.out_channels = WIDTHS[-1:]
        self.register_buffer("filters", mel_filters(drop_bin=drop_bin), persistent=False)
        self.requires_grad_(False)

    @torch.no_grad()
    def embed(self, log_mel: Tensor) -> Tensor:
        """(B, A, 96, M) to (B, 128), not below 0."""
        maps = self.features(fast_layout(log_mel))
        # TensorFlow's order, in which the dense layers were trained.
        return self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))

    def forward(self, specgram: Tensor) -> tuple[Tensor, ...]:
        """(B, A, T, F) linear magnitude, T at least 96, to one map (B, 128, 1, 1)."""
        return (self.embed(log_mel(specgram, self.filters))[..., None, None],)
