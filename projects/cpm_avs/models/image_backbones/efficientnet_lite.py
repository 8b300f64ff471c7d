"""EfficientNet-Lite: EfficientNet without squeeze-and-excitation, with ReLU6 and a fixed stem.

After https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite (Apache-2.0).
Stem, first and last stage are as deep for every size, the stem is as wide, too; that is why
MMDetection's EfficientNet, which scales them, can't be set to it.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any

from mmcv.cnn import ConvModule
from mmdet.models.layers import InvertedResidual
from mmengine.model import Sequential
from mmseg.models.utils import make_divisible
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..partly_frozen import PartlyFrozen
from ..same_conv import SameConv2d

# Factors of width and depth.
ARCHS = {
    "lite0": (1.0, 1.0),
    "lite1": (1.0, 1.1),
    "lite2": (1.1, 1.2),
    "lite3": (1.2, 1.4),
    "lite4": (1.4, 1.8),
}
STEM_WIDTH = 32
# Of lite0: blocks, kernel, stride of the first block, expansion, width.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def stage_widths(arch: str) -> tuple[int, ...]:
    """Channels of the seven stages' maps."""
    factor, _ = ARCHS[arch]
    return tuple(make_divisible(width * factor, 8) for *_, width in STAGES)


def stage_depths(arch: str) -> tuple[int, ...]:
    """Blocks in each of the seven stages."""
    _, factor = ARCHS[arch]
    first, *middle, last = (stage[0] for stage in STAGES)
    return (first, *(ceil(blocks * factor) for blocks in middle), last)


@MODELS.register_module()
class EfficientNetLite(PartlyFrozen):
    """Maps of EfficientNet-Lite's stages, those of strides 4, 8, 16 and 32 by default.

    Its weights want pixels of (value - 127) / 128, in RGB: ``mean`` and ``std`` of the data
    preprocessor.

    Args:
        arch: 'lite0' to 'lite4'.
        out_indices: Stages whose maps are returned, of strides 2, 4, 8, 16, 16, 32, 32. The network
            ends with the last that is named.
        frozen_stages: The stem and the first so many stages get no gradient and keep their batch
            statistics; 0 freezes the stem alone, -1 nothing.
        norm_cfg: Default: EfficientNet's batch normalisation, with eps 1e-3.
        norm_eval: Whether batch statistics stay as they are in training.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE)``, FILE from tools/prepare_weights.py.
    """

    def __init__(
        self,
        *,
        arch: str = "lite0",
        out_indices: Sequence[int] = (1, 2, 4, 6),
        frozen_stages: int = -1,
        norm_cfg: dict[str, Any] | None = None,
        norm_eval: bool = False,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type="Kaiming", layer="Conv2d"))
        if arch not in ARCHS:
            raise ValueError(f"arch is {arch!r}; EfficientNet-Lite comes as {', '.join(ARCHS)}")
        if not set(out_indices) <= set(range(len(STAGES))):
            raise ValueError(
                f"out_indices is {tuple(out_indices)}; EfficientNet-Lite has stages 0 to "
                f"{len(STAGES) - 1}"
            )
        # Stages behind the last map would get no gradient, which distributed training refuses.
        stages = max(out_indices) + 1
        if not -1 <= frozen_stages <= stages:
            raise ValueError(f"frozen_stages is {frozen_stages}; it can be -1 to {stages}")
        layers = dict(
            conv_cfg=dict(type=SameConv2d),
            norm_cfg=norm_cfg or dict(type="BN", eps=1e-3),
            act_cfg=dict(type="ReLU6", inplace=False),  # in place PyTorch copies its input first
        )
        widths = stage_widths(arch)
        self.out_indices = tuple(out_indices)
        self.out_channels = tuple(widths[i] for i in out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.stem = ConvModule(3, STEM_WIDTH, 3, stride=2, **layers)
        self.stages = nn.ModuleList()
        width = STEM_WIDTH
        for depth, out, (_, kernel, stride, expansion, _) in zip(
            stage_depths(arch)[:stages], widths, STAGES, strict=False
        ):
            blocks = []
            for _ in range(depth):
                blocks.append(
                    InvertedResidual(
                        width,
                        out,
                        width * expansion,
                        kernel_size=kernel,
                        stride=stride,
                        with_expand_conv=expansion > 1,
                        **layers,
                    )
                )
                width, stride = out, 1
            self.stages.append(Sequential(*blocks))
        self.freeze()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) to maps (B, out_channels, ceil(H / stride), ceil(W / stride))."""
        x = self.stem(image)
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return tuple(outputs[i] for i in self.out_indices)

    @property
    def frozen(self) -> list[nn.Module]:
        """See ``PartlyFrozen``."""
        return [self.stem, *self.stages][: self.frozen_stages + 1]
