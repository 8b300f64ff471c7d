"""Hungarian matching of queries and segments, all layers and images at once (Sec. 3.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ...structures import DecoderOutput
from .mask_losses import FOCAL_ALPHA, FOCAL_GAMMA
from .points import sample_points
from .targets import SegmentTargets


@dataclass(frozen=True)
class Matching:
    """Pairs of a query and a segment, flattened over layers and images.

    Attributes:
        layer: (n,), ascending.
        image: (n,).
        query: (n,).
        segment: Index into the batch's flattened segments, (n,).
    """

    layer: Tensor
    image: Tensor
    query: Tensor
    segment: Tensor

    def assigned_labels(self, labels: Tensor, shape: Sequence[int], empty: int) -> Tensor:
        """Label of every query, (layers, B, Q); ``empty`` where nothing was matched."""
        assigned = labels.new_full(tuple(shape), empty)
        assigned[self.layer, self.image, self.query] = labels[self.segment]
        return assigned


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
    probability = logits.sigmoid()
    positive = alpha * (1 - probability) ** gamma * F.softplus(-logits)
    negative = (1 - alpha) * probability**gamma * F.softplus(logits) * valid
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
    def __call__(self, output: DecoderOutput, targets: SegmentTargets, points: Tensor) -> Matching:
        """Match every layer's predictions.

        Args:
            output: Predictions of all layers.
            targets: Segments of the batch.
            points: Where masks are compared, (B, P, 2) in [0, 1].
        """
        with torch.autocast(points.device.type, enabled=False):
            costs = self._costs(output, targets, points)
        # One transfer; the rest is scipy's.
        matrices = costs.nan_to_num(1e4, 1e4, -1e4).cpu().numpy()
        starts = [0]
        for count in targets.counts:
            starts.append(starts[-1] + count)
        pairs: list[Tensor] = []
        for layer, layer_costs in enumerate(matrices):
            for image, (start, stop) in enumerate(zip(starts, starts[1:], strict=False)):
                query, column = map(
                    torch.from_numpy,
                    linear_sum_assignment(layer_costs[image, :, : stop - start]),
                )
                where = torch.tensor([[layer], [image]]).expand(2, len(query))
                pairs.append(torch.cat([where, torch.stack([query, column + start])]))
        return Matching(*torch.cat(pairs, 1).to(points.device))

    def _costs(self, output: DecoderOutput, targets: SegmentTargets, points: Tensor) -> Tensor:
        """(layers, B, Q, largest number of segments); columns past an image's own are junk."""
        labels, masks = self._pad(targets, points)
        valid = sample_points(targets.valid.float().unsqueeze(1), points).squeeze(1) > 0.999
        index = labels.unsqueeze(1)
        costs = []
        for cls_logits, mask_logits in zip(output.cls_logits, output.mask_logits, strict=True):
            sampled = sample_points(mask_logits.float(), points)
            focal, dice = mask_costs(sampled, masks, valid.float())
            probability = cls_logits.float().softmax(-1)
            cls = -probability.gather(2, index.expand(-1, probability.shape[1], -1))
            costs.append(
                self.cls_weight * cls + self.focal_weight * focal + self.dice_weight * dice
            )
        return torch.stack(costs)

    @staticmethod
    def _pad(targets: SegmentTargets, points: Tensor) -> tuple[Tensor, Tensor]:
        """Labels (B, S) and masks at the points (B, S, P), padded to the largest image."""
        own = sample_points(
            targets.masks.float().unsqueeze(1), points[targets.image_index]
        ).squeeze(1)
        counts = targets.counts
        pad = torch.nn.utils.rnn.pad_sequence
        labels = pad(list(targets.labels.split(counts)), batch_first=True)
        return labels, pad(list(own.split(counts)), batch_first=True)
