"""Focal and dice loss of matched masks on sampled points (l_mask of Sec. 3.1)."""

import torch.nn.functional as F
from torch import Tensor

from ...models.precision import full_precision

#: Weight of the positive points and focusing exponent of the focal loss, in the matching too.
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0


def focal_loss(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """Sigmoid focal loss, averaged over a mask's valid points.

    Args:
        logits: (n, P).
        targets: In [0, 1], (n, P).
        valid: 1 where a point counts, (n, P).

    Returns:
        Tensor: (n,).
    """
    logits, targets = full_precision(logits), full_precision(targets)
    probability = logits.sigmoid()
    miss = probability * (1 - targets) + (1 - probability) * targets
    weight = (FOCAL_ALPHA * targets + (1 - FOCAL_ALPHA) * (1 - targets)) * miss**FOCAL_GAMMA
    loss = weight * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (loss * valid).sum(-1) / valid.sum(-1).clamp(min=1)


def dice_loss(logits: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1) over a mask's valid points.

    Args:
        logits: (n, P).
        targets: In [0, 1], (n, P).
        valid: 1 where a point counts, (n, P).

    Returns:
        Tensor: (n,).
    """
    probability = full_precision(logits).sigmoid() * valid
    targets = full_precision(targets) * valid
    overlap = 2 * (probability * targets).sum(-1)
    return 1 - (overlap + 1) / (probability.sum(-1) + targets.sum(-1) + 1)
