"""Class and mask losses of all layers, given who is matched with what (l_ce + l_mask)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...structures import DecoderOutput
from ..distributed import reduce_mean
from .assignment import Assignment, Matching, join
from .mask_losses import dice_loss, focal_loss
from .matched_masks import matched_masks
from .matcher import HungarianMatcher
from .points import POINT_SAMPLERS, PointSampler
from .targets import SegmentTargets


def heard_or_nothing(logits: Tensor, unseen: Tensor) -> Tensor:
    """Cross-entropy of a query that may say no-object or any class that sounds unseen.

    -log of the sum of these classes' probabilities: where an image has no such class, that of
    no-object alone.

    Args:
        logits: (B, Q, C + 1).
        unseen: (B, C) bool.

    Returns:
        Tensor: (B, Q).
    """
    allowed = F.pad(unseen, (0, 1), value=True).unsqueeze(1)
    return logits.logsumexp(-1) - logits.masked_fill(~allowed, -torch.inf).logsumexp(-1)


class SetCriterion(nn.Module):
    """Cross-entropy, focal and dice loss with deep supervision.

    One call serves the matched class-agnostic queries (l_agn) and the prompts, whose matching is
    known beforehand (l_VCP, eq. 6).

    The queries after TD-A have heard the sound and not seen the picture: they can't know that a
    crop left the object of a class that sounds out. There a query without a segment may name such
    a class or say no-object, as it likes. The layers of TD-V see that there is nothing to name.

    Args:
        num_classes: C, classes with background.
        no_object_weight: Weight of no-object in the cross-entropy.
        cls_weight: Weight of the cross-entropy, and of the class cost in the matching.
        focal_weight: As above, for the focal loss. It is large since the focal loss is small.
        dice_weight: As above, for the dice loss.
        points: ``type``, ``'uncertain'`` or ``'grid'`` (all cells), and arguments of the point
            sampler.
    """

    class_weight: Tensor

    def __init__(
        self,
        *,
        num_classes: int,
        no_object_weight: float = 0.1,
        cls_weight: float = 2.0,
        focal_weight: float = 20.0,
        dice_weight: float = 5.0,
        points: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.weights = dict(cls=cls_weight, focal=focal_weight, dice=dice_weight)
        self.matcher = HungarianMatcher(
            cls_weight=cls_weight, focal_weight=focal_weight, dice_weight=dice_weight
        )
        options = dict(points or dict(type="uncertain"))
        kind = options.pop("type", None)
        if kind not in POINT_SAMPLERS:
            raise ValueError(f"points.type is {kind!r}; choose one of {sorted(POINT_SAMPLERS)}")
        self.points: PointSampler = POINT_SAMPLERS[kind](**options)
        class_weight = torch.ones(num_classes + 1)
        class_weight[-1] = no_object_weight
        self.register_buffer("class_weight", class_weight, persistent=False)

    def match(self, output: DecoderOutput, targets: SegmentTargets) -> Matching:
        """Hungarian matching of all layers."""
        with torch.no_grad():
            compared = self.points.for_matching(output.mask_features, targets)
        return self.matcher(output, targets, compared)

    def forward(
        self, output: DecoderOutput, targets: SegmentTargets, parts: Sequence[Assignment]
    ) -> list[dict[str, Tensor]]:
        """Losses of all layers, for each part of the queries by itself.

        Args:
            output: Predictions of all layers.
            targets: Segments of the batch.
            parts: Of queries that follow one another, from the first one on; what becomes of those
                behind them counts in nothing.

        Returns:
            list: For each part ``loss_cls``, ``loss_focal``, ``loss_dice`` of the last layer, and
            those of the others with the prefix ``d{layer}.``; all weighted.
        """
        names = [f"d{layer}." for layer in range(len(output.cls_logits) - 1)] + [""]
        with torch.autocast(output.embeddings.device.type, enabled=False):
            cls = self._cls_losses(output.cls_logits.float(), targets.unseen, parts)
            focal, dice = self._mask_losses(output, targets, parts)
        losses: list[dict[str, Tensor]] = [{} for _ in parts]
        for kind, values in dict(cls=cls, focal=focal, dice=dice).items():
            for own, part, mean in zip(losses, parts, values, strict=True):
                weighted = (self.weights[kind] * part.weight * mean).unbind()
                own |= {f"{n}loss_{kind}": x for n, x in zip(names, weighted, strict=True)}
        return losses

    def _cls_losses(self, logits: Tensor, unseen: Tensor, parts: Sequence[Assignment]) -> Tensor:
        """Weighted mean cross-entropy of each part and layer, (parts, layers)."""
        sizes = [part.labels.shape[2] for part in parts]
        logits = logits[:, :, : sum(sizes)]
        labels = torch.cat([part.labels for part in parts], 2)
        weight = self.class_weight[labels] * torch.cat([part.counted for part in parts], 1)
        loss = F.cross_entropy(logits.flatten(0, 2), labels.flatten(), reduction="none")
        loss = loss.view_as(weight)
        # Not where nothing sounds unseen: the two forms differ in their rounding.
        free = (labels[0] == self.num_classes) & unseen.any(-1, keepdim=True)
        after_audio = torch.where(free, heard_or_nothing(logits[0], unseen), loss[0])
        loss = torch.cat([after_audio.unsqueeze(0), loss[1:]]) * weight
        totals, weights = (
            torch.stack([own.sum((1, 2)) for own in whole.split(sizes, 2)])
            for whole in (loss, weight)
        )
        # Every rank divides by the mean over ranks, so that the gradients that DDP averages are
        # those of one process with the whole batch.
        return totals / reduce_mean(weights).clamp(min=1e-6)

    def _mask_losses(
        self, output: DecoderOutput, targets: SegmentTargets, parts: Sequence[Assignment]
    ) -> tuple[Tensor, Tensor]:
        """Focal and dice loss, (parts, layers) each, as means over a layer's matched masks."""
        layers = len(output.cls_logits)
        matching, part = join(parts)
        group, groups = part * layers + matching.layer, len(parts) * layers
        ones = torch.ones_like(group, dtype=torch.float)
        numbers = ones.new_zeros(groups).index_add(0, group, ones)
        # Numbers of masks are whole, so the clamp only guards 0 / 0.
        normaliser = reduce_mean(numbers).clamp(min=1e-6)
        if len(group) == 0:
            # A sum over nothing, not 0 times a sum: that one overflows to NaN in half precision.
            nothing = output.mask_embeddings[:, :0].sum() + output.mask_features[:0].sum()
            zeros = nothing.float().expand(len(parts), layers)
            return zeros, zeros

        drawn = matched_masks(output, matching, targets, group, groups)
        compared = self.points.for_loss(drawn, targets, matching, group, groups)
        masks = (compared.values, compared.truth, compared.known)
        losses = torch.stack([focal_loss(*masks), dice_loss(*masks)])
        totals = ones.new_zeros(2, groups).index_add(1, group, losses)
        focal, dice = (totals / normaliser).unflatten(1, (len(parts), layers))
        return focal, dice
