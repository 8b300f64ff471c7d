"""Where masks are compared: points instead of all pixels, as in PointRend and Mask2Former."""

from typing import Protocol

import torch
from mmcv.ops import point_sample
from mmdet.models.utils import get_uncertain_point_coords_with_randomness
from torch import Tensor

_SURE = 1e4  # a logit that is never among the least sure ones


def sample_points(maps: Tensor, points: Tensor) -> Tensor:
    """Read maps (n, c, h, w) at points (n, P, 2), x and y in [0, 1]; bilinear, (n, c, P)."""
    return point_sample(maps, points.to(maps.dtype), align_corners=False)


class PointSampler(Protocol):
    """Chooses the points of the matching and of the losses."""

    def for_matching(self, batch_size: int, device: torch.device) -> Tensor:
        """Points shared by all queries and segments of an image, (B, P, 2)."""

    def for_loss(self, mask_logits: Tensor, valid: Tensor) -> Tensor:
        """Points of each matched mask (n, 1, h, w): (n, P, 2).

        Args:
            mask_logits: The masks.
            valid: Where there is a label, bool, of the same shape; the rest counts in no loss.
        """


class UncertainPoints:
    """Random points for the matching; for the losses, most of them where the mask is unsure.

    Args:
        num_points: P.
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

    def for_matching(self, batch_size: int, device: torch.device) -> Tensor:
        """Uniform points, (B, P, 2)."""
        return torch.rand(batch_size, self.num_points, 2, device=device)

    def for_loss(self, mask_logits: Tensor, valid: Tensor) -> Tensor:
        """Points near the masks' borders, (n, P, 2)."""
        with torch.no_grad():
            # What no loss ever reaches stays unsure, and would attract most of the points.
            return get_uncertain_point_coords_with_randomness(
                mask_logits.float().masked_fill(~valid, _SURE),
                None,
                self.num_points,
                self.oversample_ratio,
                self.importance_sample_ratio,
            )


class GridPoints:
    """The same regular grid for everything; nothing is random. Enough for small images.

    Args:
        size: Points a side; P is its square.
    """

    def __init__(self, *, size: int) -> None:
        ticks = (torch.arange(size) + 0.5) / size
        self.grid = torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), -1).flatten(0, 1)

    def for_matching(self, batch_size: int, device: torch.device) -> Tensor:
        """The grid, (B, P, 2)."""
        self.grid = self.grid.to(device)  # copied once
        return self.grid.expand(batch_size, -1, -1)

    def for_loss(self, mask_logits: Tensor, valid: Tensor) -> Tensor:
        """The grid, (n, P, 2)."""
        return self.for_matching(len(mask_logits), mask_logits.device)


POINT_SAMPLERS = {"uncertain": UncertainPoints, "grid": GridPoints}
