"""Hungarian matching of queries and segments, all layers at once (Sec. 3.1)."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ...models.precision import full_precision
from ...structures import DecoderOutput
from .assignment import Matching
from .mask_losses import FOCAL_ALPHA, FOCAL_GAMMA
from .points import Compared
from .targets import SegmentTargets


def mask_costs(logits: Tensor, targets: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Focal and dice cost of every pair of a query and a segment of an image, on sampled points.

    Args:
        logits: (Q, P).
        targets: Values of the segments at the points, (S, P) in [0, 1].
        valid: 1 where a point has a label, (P,).

    Returns:
        tuple: Focal and dice cost, each (Q, S).
    """
    logits, targets = logits.float(), (targets * valid).T
    probability, surprise = logits.sigmoid(), F.softplus(logits)  # -ln(1 - p) = x - ln p
    positive = FOCAL_ALPHA * (1 - probability) ** FOCAL_GAMMA * (surprise - logits)
    negative = (1 - FOCAL_ALPHA) * probability**FOCAL_GAMMA * surprise * valid
    focal = (positive - negative) @ targets + negative.sum(-1, keepdim=True)
    focal = focal / valid.sum().clamp(min=1)

    probability = probability * valid
    overlap = 2 * probability @ targets
    total = probability.sum(-1, keepdim=True) + targets.sum(0)
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
        for layer, image in np.ndindex(len(matrices), len(targets.counts)):
            start, stop = starts[image : image + 2]
            query, column = linear_sum_assignment(matrices[layer, :, start:stop])
            where = [np.full_like(query, layer), np.full_like(query, image)]
            pairs.append(np.stack([*where, query, column + start]))
        return Matching(*torch.from_numpy(np.concatenate(pairs, 1)).to(costs.device))

    def _costs(self, output: DecoderOutput, targets: SegmentTargets, compared: Compared) -> Tensor:
        """Of the queries of an image with its own segments, (layers, Q, S)."""
        embeddings = full_precision(output.mask_embeddings)
        probability = output.cls_logits.float().softmax(-1)
        layers, _, queries, _ = embeddings.shape
        segments = (x.split(targets.counts) for x in (targets.labels, compared.truth))
        costs = []
        # One image after another: all masks at all points would be the largest tensor of a step.
        for image, (labels, truth) in enumerate(zip(*segments, strict=True)):
            masks = embeddings[:, image].flatten(0, 1) @ compared.values[image]
            focal, dice = mask_costs(masks, truth, compared.known[image])
            cls = -probability[:, image][..., labels].flatten(0, 1)
            costs.append(
                self.cls_weight * cls + self.focal_weight * focal + self.dice_weight * dice
            )
        return torch.cat(costs, 1).view(layers, queries, -1)
