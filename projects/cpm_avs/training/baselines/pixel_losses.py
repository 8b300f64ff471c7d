"""Cross-entropy of pixels, some of which have no label."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...constants import IGNORE_INDEX
from ...models.precision import full_precision


def pixel_cross_entropy(logits: Tensor, label_map: Tensor) -> Tensor:
    """Mean over the pixels that have a label; 0 with a live gradient path where none has.

    Args:
        logits: (B, C, h, w), or (B, 1, h, w): of the object against the background. Brought to the
            labels' size.
        label_map: (B, H, W) int64, 255 where nothing is known.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = full_precision(logits)
        size = label_map.shape[-2:]
        if logits.shape[-2:] != size:
            logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        if logits.shape[1] == 1:  # the sigmoid is the softmax against a logit of 0
            logits = F.pad(logits, (0, 0, 0, 0, 1, 0))
        total = F.cross_entropy(logits, label_map, ignore_index=IGNORE_INDEX, reduction="sum")
        return total / (label_map != IGNORE_INDEX).sum().clamp(min=1)
