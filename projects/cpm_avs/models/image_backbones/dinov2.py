"""DINOv2's plain ViT on mmseg's, with ViTDet's simple pyramid for the four strides.

After https://github.com/facebookresearch/dinov2 (Apache-2.0). mmseg's VisionTransformer lacks one
thing of DINOv2's, a learned factor on each channel of what a layer adds. Such a factor can be part
of the linear map before it, into which `tools/prepare_weights.py` multiplies it.

Shorthand: B batch, H and W pixels.
"""

from math import ceil
from typing import Any

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.models.backbones import VisionTransformer
from mmseg.models.necks import Feature2Pyramid
from mmseg.registry import MODELS
from torch import Tensor

# Width, layers and heads.
ARCHS = {"small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}
PATCH = 14
STRIDE = 16
#: Side of the pictures of DINOv2's last training, which its position embeddings are for.
TRAINED_SIZE = 518


@MODELS.register_module()
class DINOv2(BaseModule):
    """Four maps, all as wide as the ViT, at strides 4, 8, 16 and 32.

    A patch has 14 pixels, and a cell at stride 16 has 16: the picture is resized by 14/16, so that
    the ViT's tokens are the cells at stride 16. Position embeddings are interpolated to them. The
    pyramid is mmseg's, of the last map alone: transposed convolutions to the finer two, pooling to
    the coarsest.

    Args:
        arch: 'small', 'base' or 'large', without registers.
        num_layers: Another number of layers, for tests.
        drop_path_rate: Stochastic depth.
        with_cp: Whether layers are computed again going backwards, to save memory.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE)``, FILE from tools/prepare_weights.py;
            it holds the ViT, and the pyramid starts at random.
    """

    def __init__(
        self,
        *,
        arch: str = "base",
        num_layers: int | None = None,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if arch not in ARCHS:
            raise ValueError(f"arch is {arch!r}; choose one of {', '.join(ARCHS)}")
        width, layers, heads = ARCHS[arch]
        self.vit = VisionTransformer(
            img_size=TRAINED_SIZE,
            patch_size=PATCH,
            patch_bias=True,
            embed_dims=width,
            num_layers=num_layers or layers,
            num_heads=heads,
            drop_path_rate=drop_path_rate,
            norm_cfg=dict(type="LN", eps=1e-6),
            final_norm=True,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        self.pyramid = Feature2Pyramid(width, norm_cfg=dict(type="GN", num_groups=32))
        self.out_channels = (width,) * 4

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) to maps (B, width, ~H/stride, ~W/stride), strides 4, 8, 16 and 32."""
        size = [ceil(side / STRIDE) * PATCH for side in image.shape[-2:]]
        shrunk = F.interpolate(image, size=size, mode="bilinear", align_corners=False)
        (tokens,) = self.vit(shrunk)
        return self.pyramid([tokens] * 4)
