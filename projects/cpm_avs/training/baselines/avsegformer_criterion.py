"""AVSegFormer's objective: masks by dice or cross-entropy, and dice of the gated features' mean.

Shorthand: B batch, C classes with background, D width, h w map at stride 4, H W image size.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from mmdet.models.losses.dice_loss import dice_loss
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ...constants import IGNORE_INDEX
from ...models.precision import full_precision
from ...structures import DenseOutput
from ..finite import FiniteGuard
from ..set_prediction.targets import build_targets
from .pixel_losses import pixel_cross_entropy

_SMOOTH = 1e-3  # added to both sums of squares


class DenseModel(Protocol):
    """See ``DenseSegmentor``."""

    def encode_decode(
        self, inputs: dict[str, Tensor], batch_img_metas: list[dict[str, Any]]
    ) -> DenseOutput: ...


@MODELS.register_module()
class AVSegFormerCriterion(BaseModule):
    """All of training that inference does without.

    Every loss is a mean over the frames that have a label; others only move the statistics of
    norms.

    Args:
        num_classes: C, classes with background; the segmentor fills it in.
        mix_weight: Of the loss of the mask features after the gate.
    """

    def __init__(self, *, num_classes: int, mix_weight: float = 0.1) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.mix_weight = mix_weight
        self.finite = FiniteGuard()

    def forward(
        self,
        model: DenseModel,
        inputs: dict[str, Tensor],
        data_samples: Sequence[SegDataSample],
    ) -> dict[str, Tensor]:
        """Both losses of a batch, weighted.

        Args:
            model: The segmentor.
            inputs: The preprocessed batch.
            data_samples: Those of labelled frames with ``gt_sem_seg``.
        """
        output = model.encode_decode(inputs, [sample.metainfo for sample in data_samples])
        size = (len(data_samples), *output.logits.shape[-2:])
        label_map = torch.full(size, IGNORE_INDEX, device=output.logits.device)
        labelled = [k for k, sample in enumerate(data_samples) if "gt_sem_seg" in sample]
        if labelled:
            targets = build_targets([data_samples[k] for k in labelled], self.num_classes)
            label_map[labelled] = targets.label_map
        losses = self.losses_of(output, label_map)
        self.finite.check(losses, data_samples)
        return losses

    def losses_of(self, output: DenseOutput, label_map: Tensor) -> dict[str, Tensor]:
        """Losses of predictions.

        Args:
            output: Logits (B, C or 1, H, W), and the gated mask features (B, D, h, w).
            label_map: (B, H, W) int64, 255 where nothing is known.
        """
        labelled = (label_map != IGNORE_INDEX).flatten(1).any(1)
        logits, truth = full_precision(output.logits[labelled]), label_map[labelled]
        mixed = full_precision(output.features[0][labelled]).mean(1, keepdim=True)
        mixed = F.interpolate(mixed, truth.shape[-2:], mode="bilinear", align_corners=False)
        mix_loss = self.mix_weight * mask_dice(mixed[:, 0], truth)
        if self.num_classes == 2:
            return dict(loss_dice=mask_dice(logits[:, 0], truth), loss_mix=mix_loss)
        return dict(loss_ce=pixel_cross_entropy(logits, truth), loss_mix=mix_loss)


def mask_dice(logits: Tensor, label_map: Tensor) -> Tensor:
    """MMDetection's dice, 1 - 2 sum(p t) / (sum(p^2) + sum(t^2)), of objects of any class.

    Args:
        logits: (B, H, W).
        label_map: As in ``losses_of``.

    Returns:
        Tensor: Scalar, the mean over the masks; 0 with a live gradient path where there are none.
    """
    if len(logits) == 0:
        return logits.sum()
    valid = label_map != IGNORE_INDEX
    truth = ((label_map > 0) & valid).float()
    return dice_loss(logits.sigmoid() * valid, truth, eps=_SMOOTH, naive_dice=False)
