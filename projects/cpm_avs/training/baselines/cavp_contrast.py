"""CAVP's contrast between pixels that hear their own sound and pixels that hear another's.

Shorthand: B batch, D width, h w map at stride 4, n chosen pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...constants import IGNORE_INDEX
from ...models.precision import full_precision
from ..contrast import nce_of_anchors


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
    """Each pixel is drawn to those of its label and pushed from all others; the mean over pixels.

    Args:
        features: (n, D).
        labels: (n,).
        temperature: Of the cosines.

    Returns:
        Tensor: Scalar, 0 with a live gradient path for n = 0.
    """
    same = labels.unsqueeze(1) == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    with torch.autocast(features.device.type, enabled=False):
        features = F.normalize(full_precision(features), dim=1)
        similarity = features @ features.T / temperature
        per_pixel = nce_of_anchors(similarity, same=same, positive=same & ~itself)
        return per_pixel.sum() / max(len(labels), 1)
