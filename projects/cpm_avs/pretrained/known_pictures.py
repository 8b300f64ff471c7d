"""Pictures that an ImageNet classifier must name: only there to check converted weights."""

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..constants import REPOSITORY
from ..models.cpm.mask_pooled_classifier import MaskPooledClassifier

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
def name_pictures(backbone: nn.Module, classifier: nn.Module) -> str:
    """Check that a converted backbone and a converted classifier fit each other and the pictures.

    Args:
        backbone: ``EfficientNetLite`` in evaluation mode, with all of its stages.
        classifier: ``MaskPooledClassifier`` of all of ImageNet's classes, one by one.

    Returns:
        A sentence on what was seen; ValueError where a picture gets a wrong name.
    """
    assert isinstance(classifier, MaskPooledClassifier)
    for name, label in KNOWN.items():
        deepest = backbone((known_picture(name) - 127) / 128)[-1]
        everything = deepest.new_full((1, 1, *deepest.shape[-2:]), math.inf)
        found = int(classifier.shares(everything, deepest).argmax())
        if found != label:
            raise ValueError(
                f"EfficientNet-Lite takes the picture of a {name} for ImageNet's class {found}, "
                f"not {label}"
            )
    return f"names the {', '.join(KNOWN)} of AVS-Stamps"
