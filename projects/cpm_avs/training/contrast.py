"""Supervised InfoNCE over pairs, which eq. 9 and CAVP's contrast sum up each in its own way."""

import torch
from torch import Tensor

_NEVER = -1e4  # a similarity whose exponential is 0 in float32


def nce_of_anchors(similarity: Tensor, *, same: Tensor, positive: Tensor) -> Tensor:
    """How far anchors are from those that they belong with, against those that they do not.

    For a positive p of anchor a, -log(e^s(a,p) / (e^s(a,p) + sum over negatives of e^s(a,n))); the
    mean over an anchor's positives.

    Args:
        similarity: s, cosines over the temperature, (n, P) in full precision.
        same: Pairs that belong together, (n, P) bool; all others are negatives.
        positive: Those of them that are drawn together, (n, P) bool: no sample is its own positive.

    Returns:
        Tensor: (n,); 0 with a gradient of 0 without positives, or without negatives.
    """
    # Finite, so that an anchor without negatives has a loss and a gradient of 0, not NaN.
    negatives = similarity.masked_fill(same, _NEVER).logsumexp(-1, keepdim=True)
    per_pair = torch.logaddexp(similarity, negatives) - similarity
    return (per_pair * positive).sum(-1) / positive.sum(-1).clamp(min=1)
