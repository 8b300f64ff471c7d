"""Class and mask losses of all layers, given who is matched with what (l_ce + l_mask)."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...structures import DecoderOutput
from ..distributed import reduce_mean
from .mask_losses import dice_loss, focal_loss
from .matched_masks import Matching, matched_masks
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

    The same code serves the matched class-agnostic queries (l_agn) and the prompts, whose
    matching is known beforehand (l_VCP, eq. 6).

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
        self,
        output: DecoderOutput,
        labels: Tensor,
        matching: Matching,
        targets: SegmentTargets,
        counted: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Losses of all layers.

        Args:
            output: Predictions of all layers.
            labels: Class that each query shall name, (layers, B, Q).
            matching: Which query shall draw which segment.
            targets: Segments of the batch.
            counted: Queries that exist, (B, Q) bool; all of them if None.

        Returns:
            dict: ``loss_cls``, ``loss_focal``, ``loss_dice`` of the last layer, and those of the
            others with the prefix ``d{layer}.``; all weighted.
        """
        names = [f"d{layer}." for layer in range(len(output.cls_logits) - 1)] + [""]
        with torch.autocast(output.embeddings.device.type, enabled=False):
            cls = self._cls_losses(output.cls_logits.float(), labels, targets.unseen, counted)
            focal, dice = self._mask_losses(output, matching, targets)
        losses: dict[str, Tensor] = {}
        for kind, values in dict(cls=cls, focal=focal, dice=dice).items():
            weighted = (self.weights[kind] * values).unbind()
            losses |= {f"{n}loss_{kind}": x for n, x in zip(names, weighted, strict=True)}
        return losses

    def _cls_losses(
        self, logits: Tensor, labels: Tensor, unseen: Tensor, counted: Tensor | None
    ) -> Tensor:
        """Weighted mean cross-entropy of each layer, (layers,)."""
        weight = self.class_weight[labels]
        if counted is not None:
            weight = weight * counted
        loss = F.cross_entropy(logits.flatten(0, 2), labels.flatten(), reduction="none")
        loss = loss.view_as(weight)
        # Not where nothing sounds unseen: the two forms differ in their rounding.
        free = (labels[0] == self.num_classes) & unseen.any(-1, keepdim=True)
        after_audio = torch.where(free, heard_or_nothing(logits[0], unseen), loss[0])
        totals = (torch.cat([after_audio.unsqueeze(0), loss[1:]]) * weight).sum((1, 2))
        # Every rank divides by the mean over ranks, so that the gradients that DDP averages are
        # those of one process with the whole batch.
        normaliser = reduce_mean(weight.sum((1, 2)))
        return totals / normaliser.clamp(min=1e-6)

    def _mask_losses(
        self, output: DecoderOutput, matching: Matching, targets: SegmentTargets
    ) -> tuple[Tensor, Tensor]:
        """Focal and dice loss of each layer, (layers,), as means over its matched masks."""
        layers, pairs = len(output.cls_logits), len(matching.layer)
        ones = torch.ones(pairs, device=matching.layer.device)
        per_layer = ones.new_zeros(layers).index_add(0, matching.layer, ones)
        # Numbers of masks are whole, so the clamp only guards 0 / 0.
        normaliser = reduce_mean(per_layer).clamp(min=1e-6)
        if pairs == 0:
            # A sum over nothing, not 0 times a sum: that one overflows to NaN in half precision.
            nothing = output.mask_embeddings[:, :0].sum() + output.mask_features[:0].sum()
            zeros = nothing.float().expand(layers)
            return zeros, zeros

        compared = self.points.for_loss(matched_masks(output, matching, targets), targets, matching)
        masks = (compared.values, compared.truth, compared.known)
        losses = torch.stack([focal_loss(*masks), dice_loss(*masks)])
        totals = ones.new_zeros(2, layers).index_add(1, matching.layer, losses)
        focal, dice = totals / normaliser
        return focal, dice
