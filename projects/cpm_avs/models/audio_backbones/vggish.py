"""VGGish's convolutions on a linear spectrogram; the dense audio map of the AVSBench models."""

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..memory_layout import fast_layout
from ..spectrogram import compress
from .pretrained_weights import spread_over_channels

STAGES = ((64,), (128,), (256, 256), (512, 512))


@MODELS.register_module()
class VGGish(BaseModule):
    """Four stages of 3x3 convolutions, each closed by a 2x2 pooling.

    Parameter names are torchvggish's ``features.*``. Its fully connected layers don't fit another
    input than 96 x 64 and are not here. Without ``init_cfg`` the weights are Kaiming's.

    Args:
        in_channels: Audio channels A; pretrained mono weights are spread over them.
        out_indices: Stages that are returned; stage i has stride 2 ** (i + 1).
        frozen_stages: Stages below this index get no gradient; -1 freezes none.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE)`` for torchvggish's weights.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_indices: Sequence[int] = (1, 2, 3),
        frozen_stages: int = -1,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type="Kaiming", layer="Conv2d"))
        if not set(out_indices) <= set(range(len(STAGES))):
            raise ValueError(f"out_indices is {tuple(out_indices)}; VGGish has stages 0 to 3")
        if frozen_stages > max(out_indices) + 1:
            raise ValueError(
                f"frozen_stages is {frozen_stages}; there are {max(out_indices) + 1} up to the "
                "last of out_indices"
            )
        layers: list[nn.Module] = []
        self.stage_ends: list[int] = []
        width_in = in_channels
        # Stages behind the last map would get no gradient, which distributed training refuses.
        for widths in STAGES[: max(out_indices) + 1]:
            for width in widths:
                layers += [nn.Conv2d(width_in, width, 3, padding=1), nn.ReLU(inplace=True)]
                width_in = width
            # ceil_mode keeps the last frames of an odd length; on 96 x 64 it changes nothing. The
            # largest of four stays so behind a ReLU, which has a quarter of the cells after it.
            layers.insert(-1, nn.MaxPool2d(2, ceil_mode=True))
            self.stage_ends.append(len(layers))
        self.features = nn.Sequential(*layers)
        self.in_channels = in_channels
        spread_over_channels(self.features[0])
        self.out_indices = tuple(out_indices)
        self.out_channels = tuple(STAGES[i][-1] for i in out_indices)
        self.out_strides = tuple(2 ** (i + 1) for i in out_indices)
        if frozen_stages > 0:
            self.features[: self.stage_ends[frozen_stages - 1]].requires_grad_(False)

    def forward(self, specgram: Tensor) -> tuple[Tensor, ...]:
        """(B, A, T, F) linear magnitude to maps (B, out_channels, ~T/stride, ~F/stride)."""
        x = fast_layout(compress(specgram))
        outputs = []
        for start, end in zip([0, *self.stage_ends], self.stage_ends, strict=False):
            x = self.features[start:end](x)
            outputs.append(x)
        return tuple(outputs[i] for i in self.out_indices)
