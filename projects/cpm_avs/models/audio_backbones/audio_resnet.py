"""mmseg's ResNet on a spectrogram, its last stage held at stride 16; the VPO audio backbone."""

from collections.abc import Sequence
from typing import Any

from mmseg.models.backbones import ResNet
from mmseg.registry import MODELS
from torch import Tensor

from ..memory_layout import fast_layout
from ..spectrogram import compress
from .pretrained_weights import spread_over_channels

STRIDES = (4, 8, 16, 16)


@MODELS.register_module()
class AudioResNet(ResNet):
    """ResNet with A input channels whose last stage is dilated instead of strided.

    ImageNet weights can be given by ``init_cfg``: the kernel of the first convolution is summed
    over the colours and spread over the audio channels.

    Args:
        depth: 18, 34, 50, 101 or 152.
        in_channels: Audio channels A.
        out_indices: Stages that are returned; they have strides (4, 8, 16, 16).
        frozen_stages: Stages up to this one get no gradient (0 is the stem); -1 freezes none.
        norm_cfg: As in mmseg's ResNet.
        norm_eval: Whether batch statistics stay as they are in training.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE)``, or None for a random start.
    """

    def __init__(
        self,
        *,
        depth: int = 18,
        in_channels: int = 1,
        out_indices: Sequence[int] = (0, 1, 3),
        frozen_stages: int = -1,
        norm_cfg: dict[str, Any] | None = None,
        norm_eval: bool = False,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        # Stages behind the last map would get no gradient, which distributed training refuses.
        stages = max(out_indices) + 1
        super().__init__(
            depth,
            in_channels=in_channels,
            num_stages=stages,
            strides=(1, 2, 2, 1)[:stages],
            dilations=(1, 1, 1, 2)[:stages],
            out_indices=tuple(out_indices),
            frozen_stages=frozen_stages,
            norm_cfg=norm_cfg or dict(type="BN", requires_grad=True),
            norm_eval=norm_eval,
            init_cfg=init_cfg,
        )
        self.in_channels = in_channels
        spread_over_channels(self.conv1)
        self.out_channels = tuple(64 * self.block.expansion * 2**i for i in out_indices)
        self.out_strides = tuple(STRIDES[i] for i in out_indices)

    def forward(self, specgram: Tensor) -> tuple[Tensor, ...]:
        """(B, A, T, F) linear magnitude to maps (B, out_channels, ~T/stride, ~F/stride)."""
        return super().forward(fast_layout(compress(specgram)))
