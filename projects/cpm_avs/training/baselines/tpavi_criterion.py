"""TPAVI's losses: classes of pixels, and masks whose pixels match the sound (Sec. 3.4).

After https://github.com/OpenNLPLab/AVSBench (f7414af); the numbers are the same
(``tests/test_tpavi.py``).

Shorthand: F frames, C classes with background, L levels, D width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.models.segmentors import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ...structures import DenseOutput
from ..finite import FiniteGuard
from .pixel_losses import pixel_cross_entropy


@MODELS.register_module()
class TPAVICriterion(BaseModule):
    """Cross-entropy, and the matching loss of what is segmented and what is heard (AVM-AV).

    Frames without a label have no part in either. A batch without labels gives 0 with a live graph.

    Args:
        num_classes: C; the segmentor fills it in.
        matching_weight: 0 leaves the matching loss out, as the original does on S4.
        matching_sum: Whether the matching loss is the sum over frames, as the original's is for two
            classes, and grows with the batch; else it is their mean, as for more.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        matching_weight: float = 0.5,
        matching_sum: bool = False,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.matching_weight = matching_weight
        self.matching_sum = matching_sum
        self.finite = FiniteGuard()

    def forward(
        self,
        model: BaseSegmentor,
        inputs: dict[str, Tensor],
        data_samples: Sequence[SegDataSample],
    ) -> dict[str, Tensor]:
        """All losses of a batch, weighted.

        Args:
            model: A ``ClipSegmentor``.
            inputs: The preprocessed batch.
            data_samples: Some of them with ``gt_sem_seg``.
        """
        output = model.encode_decode(inputs, [sample.metainfo for sample in data_samples])
        labelled = [k for k, sample in enumerate(data_samples) if "gt_sem_seg" in sample]
        labels = [data_samples[k].gt_sem_seg.data for k in labelled]
        losses = self.losses(output, labelled, torch.cat(labels) if labels else None)
        self.finite.check(losses, data_samples)
        return losses

    def losses(
        self, output: DenseOutput, labelled: Sequence[int], labels: Tensor | None
    ) -> dict[str, Tensor]:
        """Losses of a head's output.

        Args:
            output: Of the ``TPAVIHead``, F frames.
            labelled: Frames that have labels.
            labels: Theirs, (len(labelled), H, W) int64.
        """
        if labels is None:
            return dict(loss_mask=0 * output.logits.sum())
        logits = output.logits[labelled].float()
        losses = dict(loss_mask=pixel_cross_entropy(logits, labels))
        if self.matching_weight > 0:
            levels = len(output.features) // 2
            pairs = zip(output.features[:levels], output.features[levels:], strict=True)
            by_level = [
                matching_loss(logits, maps[labelled].float(), sounds[labelled].float())
                for maps, sounds in pairs
            ]
            total = torch.stack(by_level).mean() * self.matching_weight
            losses["loss_matching"] = total if self.matching_sum else total / len(labelled)
        return losses


def matching_loss(logits: Tensor, maps: Tensor, sounds: Tensor) -> Tensor:
    """KL of the mean of what is segmented in a map from what is heard, summed over frames.

    Both are distributions over the D channels. With two classes the mask is the probability of the
    object, with more it is 1 where the best class is not the background.

    Args:
        logits: (F, C or 1, H, W).
        maps: (F, D, h, w).
        sounds: (F, D).
    """
    height, width = maps.shape[-2:]
    pooled = F.adaptive_avg_pool2d(logits, (height, width))
    if logits.shape[1] == 1:
        masks = pooled.sigmoid()
    else:
        masks = (pooled.argmax(1, keepdim=True) != 0).to(maps)
    visual = (maps * masks).mean((2, 3)).log_softmax(1)
    return F.kl_div(visual, sounds.log_softmax(1), reduction="sum", log_target=True)
