"""CAVP's contrast between pixels that hear their own sound and pixels that hear another's.

Shorthand: B batch, D width, h w map at stride 4, n chosen pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...constants import IGNORE_INDEX
from ...models.precision import full_precision

_NEVER = -1e30  # finite, so that a pixel without negatives has no NaN in its gradient


def choose_pixels(labels: Tensor, other_labels: Tensor, *, views: int) -> Tensor:
    """Pixels that are compared, of both halves of a batch.

    Of the half with its own sounds up to ``views`` of each class and of background, and as many as
    of background of the other half: these lie on objects, whatever is to be heard there.

    Args:
        labels: Of the half with its own sounds, (B, h, w), 255 where nothing is known.
        other_labels: Of the half with other sounds, (B, h, w).
        views: Pixels a class; a class that has fewer is left out.

    Returns:
        Tensor: (n,) indices into both halves flattened, (2 B h w); none where no class has enough.
    """
    own, other = labels.flatten(), other_labels.flatten()
    classes, sizes = own[(own != 0) & (own != IGNORE_INDEX)].unique(return_counts=True)
    enough = classes[sizes >= views].tolist()
    if not enough:
        return own.new_zeros(0)
    background = (own == 0).nonzero().squeeze(1)
    objects = ((own != 0) & (own != IGNORE_INDEX)).nonzero().squeeze(1)
    number = min(views, len(background))
    chosen = [_some((own == label).nonzero().squeeze(1), views) for label in enough]
    return torch.cat([*chosen, _some(background, number), _some(objects, number) + len(other)])


def _some(candidates: Tensor, number: int) -> Tensor:
    order = torch.randperm(len(candidates), device=candidates.device)
    return candidates[order[:number]]


def contrast(features: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Each pixel is drawn to those of its label and pushed from all others.

    For a positive p of pixel a, -log(e^s(a,p) / (e^s(a,p) + sum over negatives of e^s(a,n))); the
    mean over positives, then over pixels.

    Args:
        features: (n, D).
        labels: (n,).
        temperature: Of the cosines s.

    Returns:
        Tensor: Scalar, 0 with a live gradient path for n = 0.
    """
    with torch.autocast(features.device.type, enabled=False):
        features = F.normalize(full_precision(features), dim=1)
        similarity = features @ features.T / temperature
        same = labels.unsqueeze(1) == labels
        negatives = similarity.masked_fill(same, _NEVER).logsumexp(1, keepdim=True)
        per_pair = torch.logaddexp(similarity, negatives) - similarity
        positive = same ^ torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        per_pixel = (per_pair * positive).sum(1) / positive.sum(1).clamp(min=1)
        return per_pixel.sum() / max(len(labels), 1)
