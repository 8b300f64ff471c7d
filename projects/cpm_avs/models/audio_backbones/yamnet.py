"""YAMNet's MobileNet body, its maps on the linear spectrogram's lattice.

After https://github.com/tensorflow/models/tree/master/research/audioset/yamnet (Apache-2.0). The
network hears 64 mel bands; its maps are brought back to linear frequency, because ACP compares them
with the bins of the linear spectrogram.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import mul
from typing import Any

import torch
from mmcv.cnn import build_norm_layer
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ...structures import SoundMap
from ..memory_layout import fast_layout
from ..partly_frozen import PartlyFrozen
from ..same_conv import SameConv2d
from ..spectrogram import (
    MEL_BANDS,
    NUM_BINS,
    DropBin,
    bin_frequencies,
    first_bin,
    mel_band_position,
    mel_filters,
)
from .mel_maps import MelMaps
from .pretrained_weights import leave_out, spread_over_channels

LOG_MEL_OFFSET = 0.001

# Stride and width of the 14 layers; the first is a full convolution, the others are separable.
LAYERS = (
    (2, 32), (1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512),
    (1, 512), (1, 512), (1, 512), (1, 512), (1, 512), (2, 1024), (1, 1024),
)  # fmt: skip
MAP_STRIDES = tuple(accumulate((stride for stride, _ in LAYERS), mul))
#: Layers to stride 16, the coarsest that has a cell for every four mel bands.
NUM_MAPS = MAP_STRIDES.index(32)


class ConvNorm(nn.Module):
    """Convolution without bias, normalisation, ReLU."""

    def __init__(self, conv: nn.Conv2d, norm_cfg: dict[str, Any]) -> None:
        super().__init__()
        self.conv = conv
        self.norm = build_norm_layer(norm_cfg, conv.out_channels)[1]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        return F.relu(self.norm(self.conv(x)))


def build_layers(in_channels: int, norm_cfg: dict[str, Any], count: int) -> nn.ModuleList:
    """The first ``count`` of the 14 layers, for A audio channels."""
    (stride, width), *rest = LAYERS[:count]
    stem = SameConv2d(in_channels, width, 3, stride=stride, bias=False)
    layers: list[nn.Module] = [ConvNorm(stem, norm_cfg)]
    for stride, out in rest:
        depthwise = SameConv2d(width, width, 3, stride=stride, groups=width, bias=False)
        pointwise = SameConv2d(width, out, 1, bias=False)
        layers.append(nn.Sequential(ConvNorm(depthwise, norm_cfg), ConvNorm(pointwise, norm_cfg)))
        width = out
    return nn.ModuleList(layers)


def log_mel(specgram: Tensor, filters: Tensor) -> Tensor:
    """(..., T, 256) linear magnitude to YAMNet's input (..., T, 64), in float32."""
    with torch.autocast(specgram.device.type, enabled=False):
        return torch.log(specgram.float() @ filters + LOG_MEL_OFFSET)


def mel_to_linear(
    stride: int,
    drop_bin: DropBin = "nyquist",
    band_position: Callable[[Tensor], Tensor] = mel_band_position,
) -> Tensor:
    """Interpolation from the mel cells of a map at ``stride`` to its linear-frequency cells.

    Each linear cell reads the mel axis at the frequency of its centre, between the two nearest mel
    cells; beyond the outer mel cells it reads those.

    Args:
        stride: Of the map.
        drop_bin: As in ``stft_magnitude``.
        band_position: Frequencies (Hz) to places on the axis of the 64 bands.

    Returns:
        (64 / stride, 256 / stride), the columns of which sum to 1.
    """
    cells = MEL_BANDS // stride
    linear_cells = torch.arange(NUM_BINS // stride)
    centres = linear_cells * stride + (stride - 1) / 2 + first_bin(drop_bin)
    bands = band_position(bin_frequencies(centres))
    # A mel cell is taken to lie in the middle of its bands. By SAME padding the middle of the
    # receptive field is up to half a cell higher, but the learned kernels lean the other way: with
    # pure tones, AudioSet's weights answer nearer to here (at stride 4, 0.1 band off on average
    # against 1.5, at stride 8, 6 against 9).
    position = ((bands - (stride - 1) / 2) / stride).clamp(0, cells - 1)
    distance = position[None, :] - torch.arange(cells)[:, None]
    return (1 - distance.abs()).clamp_min(0).float()


@MODELS.register_module()
class YAMNet(MelMaps, PartlyFrozen):
    """Maps of YAMNet (AudioSet) on the (T, 256) lattice, any T.

    Args:
        in_channels: Audio channels A; pretrained mono weights are spread over them.
        out_indices: Layers whose maps are returned, of strides 2, 2, 4, 4, 8, 8, and 16 for the
            next six; YAMNet's own last two, of stride 32, are none of them. The network ends with
            the last that is named: by default the first of stride 16, since later ones tell less
            and less about a mixture.
        frozen_stages: The first so many layers get no gradient and keep their batch statistics; -1
            freezes none.
        norm_cfg: Default: YAMNet's batch normalisation, with eps 1e-4.
        norm_eval: Whether batch statistics stay as they are in training.
        drop_bin: Which bin the data preprocessor drops.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE)``, FILE from tools/prepare_weights.py.
    """

    filters: Tensor

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_indices: Sequence[int] = (3, 5, 7),
        frozen_stages: int = -1,
        norm_cfg: dict[str, Any] | None = None,
        norm_eval: bool = False,
        drop_bin: DropBin = "nyquist",
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type="Kaiming", layer="Conv2d", mode="fan_in"))
        if not set(out_indices) <= set(range(NUM_MAPS)):
            raise ValueError(
                f"out_indices is {tuple(out_indices)}; YAMNet has maps after layers 0 to "
                f"{NUM_MAPS - 1}"
            )
        if frozen_stages > max(out_indices) + 1:
            raise ValueError(
                f"frozen_stages is {frozen_stages}; there are {max(out_indices) + 1} layers up to "
                "the last of out_indices"
            )
        # Layers behind the last map would get no gradient, which distributed training refuses.
        self.layers = build_layers(
            in_channels, norm_cfg or dict(type="BN", eps=1e-4), max(out_indices) + 1
        )
        self.in_channels = in_channels
        spread_over_channels(self.layers[0].conv)
        leave_out(self.layers, range(len(self.layers), len(LAYERS)))
        leave_out(self, ["classifier"])  # which the file has for the check that it hears
        self.out_indices = tuple(out_indices)
        self.out_channels = tuple(LAYERS[i][1] for i in out_indices)
        self.out_strides = tuple(MAP_STRIDES[i] for i in out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.drop_bin = drop_bin
        self.register_buffer("filters", mel_filters(drop_bin=drop_bin), persistent=False)
        for stride in set(self.out_strides):
            matrix = mel_to_linear(stride, drop_bin)
            self.register_buffer(f"to_linear_{stride}", matrix, persistent=False)
        self.freeze()

    def own_maps(self, specgram: Tensor) -> tuple[SoundMap, ...]:
        """See ``MelMaps``."""
        x = fast_layout(log_mel(specgram, self.filters))
        outputs = []
        for layer in self.layers:
            x = layer(x)
            outputs.append(x)
        return tuple(
            SoundMap(outputs[i], self.get_buffer(f"to_linear_{stride}"))
            for i, stride in zip(self.out_indices, self.out_strides, strict=True)
        )

    @property
    def frozen(self) -> list[nn.Module]:
        """See ``PartlyFrozen``."""
        return [*self.layers[: max(self.frozen_stages, 0)]]
