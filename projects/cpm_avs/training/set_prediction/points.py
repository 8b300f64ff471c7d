"""Where masks are compared: at all of their cells, or at points, as in PointRend and Mask2Former.

Shorthand: B batch, S segments, D width, n matched masks, P points, h w mask size.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.ops import point_sample
from torch import Tensor

from ...models.precision import full_precision
from .assignment import Matching
from .targets import SegmentTargets

_SURE = 1e4  # a logit that is never among the least sure ones
_AT_ONCE = 4  # masks whose points are chosen together on a CPU


@dataclass(frozen=True)
class Compared:
    """What is read where masks are compared.

    Attributes:
        values: Mask features (B, D, P) for the matching, mask logits (n, P) for the losses.
        truth: Segments, in [0, 1], (S, P) and (n, P).
        known: 1 where there is a label, (B, P) and (n, P).
    """

    values: Tensor
    truth: Tensor
    known: Tensor


def sample_points(maps: Tensor, points: Tensor) -> Tensor:
    """Read maps (n, c, h, w) at points (n, P, 2), x and y in [0, 1]; bilinear, (n, c, P)."""
    return point_sample(maps, points.to(maps.dtype), align_corners=False)


def at_cells(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Read maps (n, H, W) at the centres of (h, w) cells; bilinear, (n, h * w)."""
    return F.interpolate(maps.float().unsqueeze(1), size, mode="bilinear").flatten(1)


def labelled(share: Tensor) -> Tensor:
    """1 where all four neighbours of a point have a label, given the share of them that has."""
    return (share > 0.999).float()


def smallest(values: Tensor, count: int) -> Tensor:
    """Where the ``count`` smallest of each row of values (n, m) stand, in any order, (n, count)."""
    if values.device.type != "cpu":
        return values.topk(count, largest=False, sorted=False).indices
    # A fifth of the time of PyTorch's, which puts pairs of value and index in order.
    return torch.from_numpy(np.argpartition(values.numpy(), count - 1)[:, :count])


class PointSampler(Protocol):
    """Chooses where masks are compared, and reads them there."""

    def for_matching(self, features: Tensor, targets: SegmentTargets) -> Compared:
        """For all queries and segments of an image at the same places.

        Args:
            features: Mask features, (B, D, h, w).
            targets: Segments of the batch.
        """

    def for_loss(
        self, masks: Tensor, targets: SegmentTargets, matching: Matching, group: Tensor, groups: int
    ) -> Compared:
        """For each matched mask.

        Args:
            masks: Their logits, (n, h, w).
            targets: Segments of the batch.
            matching: Whose masks these are.
            group: Of each mask, (n,); a group has at most one for each segment, as a layer has.
            groups: Their number.
        """


class AllCells:
    """Every cell of a mask; nothing is random. As much work as a few thousand points."""

    def for_matching(self, features: Tensor, targets: SegmentTargets) -> Compared:
        """See ``PointSampler``."""
        height, width = features.shape[-2:]
        return Compared(
            full_precision(features).flatten(2),
            at_cells(targets.masks, (height, width)),
            labelled(at_cells(targets.valid, (height, width))),
        )

    def for_loss(
        self, masks: Tensor, targets: SegmentTargets, matching: Matching, group: Tensor, groups: int
    ) -> Compared:
        """See ``PointSampler``."""
        height, width = masks.shape[-2:]
        return Compared(
            full_precision(masks).flatten(1),
            at_cells(targets.masks, (height, width))[matching.segment],
            labelled(at_cells(targets.valid, (height, width)))[matching.image],
        )


class UncertainPoints:
    """Random points for the matching; for the losses, most of them where the mask is unsure.

    Args:
        num_points: P. Masks with fewer cells are matched at all of these, which is exact.
        oversample_ratio: Candidates a point, of which the least sure are kept.
        importance_sample_ratio: Share of the points that are chosen so; the others are random.
    """

    def __init__(
        self,
        *,
        num_points: int = 12544,
        oversample_ratio: float = 3.0,
        importance_sample_ratio: float = 0.75,
    ) -> None:
        self.num_points = num_points
        self.oversample_ratio = oversample_ratio
        self.importance_sample_ratio = importance_sample_ratio

    def for_matching(self, features: Tensor, targets: SegmentTargets) -> Compared:
        """Uniform points."""
        if features.shape[-2:].numel() <= self.num_points:
            return AllCells().for_matching(features, targets)
        points = torch.rand(len(features), self.num_points, 2, device=features.device)
        own = points[targets.image_index]
        return Compared(
            sample_points(full_precision(features), points),
            sample_points(targets.masks.unsqueeze(1).float(), own).squeeze(1),
            labelled(sample_points(targets.valid.unsqueeze(1).float(), points).squeeze(1)),
        )

    def for_loss(
        self, masks: Tensor, targets: SegmentTargets, matching: Matching, group: Tensor, groups: int
    ) -> Compared:
        """Points near the masks' borders."""
        masks = full_precision(masks).unsqueeze(1)
        with torch.no_grad():
            known = F.interpolate(
                targets.valid.unsqueeze(1).float(), masks.shape[-2:], mode="nearest-exact"
            )
            points = self.near_borders(masks, known[matching.image] > 0)
            # Each segment is read once, at the points of all masks that are matched with it: a copy
            # of it for each of them would be as many full-size masks as there are groups.
            grid = points.new_zeros(len(targets.masks), groups, *points.shape[1:])
            grid[matching.segment, group] = points
            truth = torch.stack([targets.masks, targets.valid[targets.image_index]], 1).float()
            read = sample_points(truth, grid.flatten(1, 2)).unflatten(2, (groups, -1))
            target, valid = read[matching.segment, :, group].unbind(1)
        return Compared(sample_points(masks, points).squeeze(1), target, labelled(valid))

    def near_borders(self, masks: Tensor, known: Tensor) -> Tensor:
        """Points of masks (n, 1, h, w), most of them where they are unsure: (n, P, 2).

        Args:
            masks: Their logits.
            known: Where there is a label, bool, of the same shape. What no loss ever reaches stays
                unsure, and would attract most of the points.
        """
        near = int(self.importance_sample_ratio * self.num_points)
        masks = masks.masked_fill(~known, _SURE)
        # A CPU draws the same numbers mask by mask as at once, and its cache holds those of a few.
        at_once = _AT_ONCE if masks.device.type == "cpu" else len(masks)
        chosen = [self._least_sure(some, near) for some in masks.split(at_once)]
        anywhere = torch.rand(len(masks), self.num_points - near, 2, device=masks.device)
        return torch.cat([torch.cat(chosen), anywhere], 1)

    def _least_sure(self, masks: Tensor, count: int) -> Tensor:
        """Of random points of masks (n, 1, h, w) those where they are least sure, (n, count, 2)."""
        drawn = int(self.oversample_ratio * self.num_points)
        candidates = torch.rand(len(masks), drawn, 2, device=masks.device)
        # Of the mask at the points, not of its cells: between -1 and 1 there is a 0, which is
        # unsure.
        unsure = smallest(sample_points(masks, candidates).squeeze(1).abs(), count)
        rows = unsure + drawn * torch.arange(len(masks), device=masks.device).unsqueeze(1)
        return candidates.flatten(0, 1).index_select(0, rows.flatten()).unflatten(0, rows.shape)


POINT_SAMPLERS = {"uncertain": UncertainPoints, "grid": AllCells}
