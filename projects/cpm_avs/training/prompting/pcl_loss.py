"""Prompting-based contrastive learning between heard and seen features (eq. 7-9)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.precision import full_precision
from ..contrast import nce_of_anchors
from ..distributed import reduce_mean


def saliency(masks: Tensor, size: Sequence[int]) -> Tensor:
    """Binary saliency 1(s > mean s) of s = sigmoid(m), on the lattice of u_a.

    Args:
        masks: Mask logits m_k^a, (n, T/4, F/4).
        size: (Ta, Fa).

    Returns:
        Tensor: (n, Ta, Fa) bool; empty where a mask is constant.
    """
    scores = F.adaptive_avg_pool2d(masks.float().sigmoid(), (size[0], size[1]))
    # The mean of equal numbers can come out a rounding error below them.
    return scores > (1 + 1e-5) * scores.mean((-2, -1), keepdim=True)


def masked_average(features: Tensor, mask: Tensor) -> Tensor:
    """f(k) of eq. 7: mean feature over a mask.

    Args:
        features: (n, D, Ta, Fa).
        mask: (n, Ta, Fa) bool.

    Returns:
        Tensor: (n, D), 0 for an empty mask.
    """
    mask = mask.unsqueeze(1)
    total = (features * mask).sum((-2, -1))
    return total / mask.sum((-2, -1)).clamp(min=1)


def masked_max(features: Tensor, mask: Tensor) -> Tensor:
    """The appendix's alternative: largest value of each channel over a mask; 0 if it is empty."""
    mask = mask.unsqueeze(1)
    largest = features.masked_fill(~mask, -torch.inf).amax((-2, -1))
    return largest.masked_fill(~mask.any(-1).any(-1), 0)


POOLINGS = {"average": masked_average, "max": masked_max}


def sample_pixels(label_map: Tensor, num_classes: int, per_class: int) -> Tensor:
    """Choose up to ``per_class`` random pixels of every class in the batch.

    Args:
        label_map: Any shape; values outside 0 .. ``num_classes`` - 1 are never chosen.
        num_classes: C.
        per_class: Cap a class.

    Returns:
        Tensor: Indices into the flattened map, (n,), grouped by class.
    """
    labels = label_map.flatten()
    candidates = ((labels >= 0) & (labels < num_classes)).nonzero().squeeze(1)
    # A random order, then a stable sort by class: each class's first ones are a random choice.
    candidates = candidates[torch.randperm(len(candidates), device=labels.device)]
    ordered, order = labels[candidates].sort(stable=True)
    totals = ordered.bincount(minlength=num_classes)
    ranks = torch.arange(len(ordered), device=labels.device) - (totals.cumsum(0) - totals)[ordered]
    return candidates[order][ranks < per_class]


def info_nce(
    anchors: Tensor, anchor_labels: Tensor, pixels: Tensor, pixel_labels: Tensor, tau: float
) -> Tensor:
    """Supervised InfoNCE of eq. 9, averaged over the anchors of all ranks that have a positive.

    Args:
        anchors: f(k), (n, D).
        anchor_labels: (n,).
        pixels: u_v at the sampled pixels, (P, D).
        pixel_labels: (P,).
        tau: Temperature.

    Returns:
        Tensor: Scalar, 0 with a live gradient path where no anchor has a positive.
    """
    same = anchor_labels.unsqueeze(-1) == pixel_labels
    with torch.autocast(anchors.device.type, enabled=False):
        anchors = F.normalize(full_precision(anchors), dim=-1)
        pixels = F.normalize(full_precision(pixels), dim=-1)
        per_anchor = nce_of_anchors(anchors @ pixels.T / tau, same=same, positive=same)
        # Anchors are whole, so the clamp only guards 0 / 0.
        return per_anchor.sum() / reduce_mean(same.any(-1).sum().float()).clamp(min=1e-6)
