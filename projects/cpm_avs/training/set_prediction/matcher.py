"""Hungarian matching of queries and segments, all layers and images at once (Sec. 3.1)."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ...models.cpm.gaussian_functional import full_precision
from ...structures import DecoderOutput
from .assignment import Matching
from .mask_losses import FOCAL_ALPHA, FOCAL_GAMMA
from .points import Compared
from .targets import SegmentTargets


def mask_costs(
    logits: Tensor,
    targets: Tensor,
    valid: Tensor,
    alpha: float = FOCAL_ALPHA,
    gamma: float = FOCAL_GAMMA,
) -> tuple[Tensor, Tensor]:
    """Focal and dice cost of every pair of a query and a segment, on sampled points.

    Args:
        logits: (B, Q, P).
        targets: Values of the segments at the points, (B, S, P) in [0, 1].
        valid: 1 where a point has a label, (B, P).
        alpha: Weight of the positive points.
        gamma: Focusing exponent.

    Returns:
        tuple: Focal and dice cost, each (B, Q, S).
    """
    logits, valid = logits.float(), valid.unsqueeze(1)
    targets = (targets * valid).transpose(1, 2)
    probability, surprise = logits.sigmoid(), F.softplus(logits)  # -ln(1 - p)
    positive = alpha * (1 - probability) ** gamma * (surprise - logits)
    negative = (1 - alpha) * probability**gamma * surprise * valid
    focal = (positive - negative) @ targets + negative.sum(-1, keepdim=True)
    focal = focal / valid.sum(-1, keepdim=True).clamp(min=1)

    probability = probability * valid
    overlap = 2 * probability @ targets
    total = probability.sum(-1, keepdim=True) + targets.sum(1, keepdim=True)
    return focal, 1 - (overlap + 1) / (total + 1)


class HungarianMatcher:
    """Assigns each segment to one query of its image by the smallest total cost.

    Args:
        cls_weight: Weight of the class cost, minus the probability of the segment's class.
        focal_weight: Weight of the focal cost.
        dice_weight: Weight of the dice cost.
    """

    def __init__(self, *, cls_weight: float, focal_weight: float, dice_weight: float) -> None:
        self.cls_weight = cls_weight
        self.focal_weight = focal_weight
        self.dice_weight = dice_weight

    @torch.no_grad()
    def __call__(
        self, output: DecoderOutput, targets: SegmentTargets, compared: Compared
    ) -> Matching:
        """Match every layer's predictions.

        Args:
            output: Predictions of all layers.
            targets: Segments of the batch.
            compared: See ``PointSampler.for_matching``.
        """
        with torch.autocast(compared.values.device.type, enabled=False):
            costs = self._costs(output, targets, compared)
        # One transfer; the rest is scipy's.
        matrices = costs.nan_to_num(1e4, 1e4, -1e4).cpu().numpy()
        starts = np.cumsum([0, *targets.counts])
        pairs: list[np.ndarray] = [np.zeros((4, 0), np.int64)]
        for layer, image in np.ndindex(matrices.shape[:2]):
            start, count = starts[image], targets.counts[image]
            query, column = linear_sum_assignment(matrices[layer, image, :, :count])
            where = [np.full_like(query, layer), np.full_like(query, image)]
            pairs.append(np.stack([*where, query, column + start]))
        return Matching(*torch.from_numpy(np.concatenate(pairs, 1)).to(costs.device))

    def _costs(self, output: DecoderOutput, targets: SegmentTargets, compared: Compared) -> Tensor:
        """(layers, B, Q, largest number of segments); columns past an image's own are junk."""
        pad = torch.nn.utils.rnn.pad_sequence
        labels, segments = (
            pad(x.split(targets.counts), batch_first=True) for x in (targets.labels, compared.truth)
        )
        # An image's queries of all layers in one row.
        layers = len(output.cls_logits)
        embeddings = full_precision(output.mask_embeddings).transpose(0, 1).flatten(1, 2)
        masks = embeddings @ compared.values
        focal, dice = mask_costs(masks, segments, compared.known)
        probability = output.cls_logits.float().softmax(-1).transpose(0, 1).flatten(1, 2)
        index = labels.unsqueeze(1).expand(-1, probability.shape[1], -1)
        cls = -probability.gather(2, index)
        costs = self.cls_weight * cls + self.focal_weight * focal + self.dice_weight * dice
        return costs.unflatten(1, (layers, -1)).transpose(0, 1)
