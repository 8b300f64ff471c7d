"""Pictures that an ImageNet classifier must name: only there to check converted weights."""

from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from ..structures import REPOSITORY

CUTOUTS = REPOSITORY / "data" / "stamps" / "cutouts"
#: Cut-outs of AVS-Stamps and their ImageNet classes: Arabian camel, drake, fire engine, penguin.
KNOWN = {"camel": 354, "duck": 97, "fire-truck": 555, "penguin": 145}
SIDE = 224


def known_picture(name: str) -> Tensor:
    """A cut-out in the middle of a grey square, (1, 3, 224, 224), RGB in [0, 255]."""
    with Image.open(CUTOUTS / f"{name}.png") as cutout:
        side = max(cutout.size)
        corner = (side - cutout.width) // 2, (side - cutout.height) // 2
        square = Image.new("RGB", (side, side), (127, 127, 127))
        square.paste(cutout, corner, mask=cutout)
    pixels = np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


@torch.no_grad()
def name_pictures(network: nn.Module, published: Mapping[str, Tensor]) -> str:
    """Check a converted backbone, with the classifier that was published with it.

    Args:
        network: ``EfficientNetLite`` in evaluation mode, with all of its stages.
        published: The state_dict before conversion, of which the head is used.

    Returns:
        A sentence on what was seen; ValueError where a picture gets a wrong name.
    """
    mean, variance, weight, bias = (
        published[f"_bn1.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
    )
    for name, label in KNOWN.items():
        x = network((known_picture(name) - 127) / 128)[-1]
        x = F.conv2d(x, published["_conv_head.weight"])
        x = F.relu6(F.batch_norm(x, mean, variance, weight, bias, eps=1e-3)).mean((2, 3))
        found = int(F.linear(x, published["_fc.weight"], published["_fc.bias"]).argmax())
        if found != label:
            raise ValueError(
                f"EfficientNet-Lite takes the picture of a {name} for ImageNet's class {found}, "
                f"not {label}"
            )
    return f"names the {', '.join(KNOWN)} of AVS-Stamps"
