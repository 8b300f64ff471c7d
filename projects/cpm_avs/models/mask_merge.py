"""Merging the queries' classes and masks into one score map a class (Sec. 3.1)."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Resize = Callable[[Tensor], Tensor]


def merge_max(cls_logits: Tensor, mask_logits: Tensor, resize: Resize) -> Tensor:
    """The paper's rule: a pixel goes to the query with the largest p_i(c_i) * m_i, c_i no-object.

    Queries whose likeliest class is no-object are dropped before their masks are upsampled, which
    saves most of the work.

    Args:
        cls_logits: (Q, C + 1), the last class is no-object.
        mask_logits: (Q, h, w).
        resize: Brings mask logits (q, h, w) to the output size (q, H, W).

    Returns:
        Tensor: (C, H, W) in [0, 1]; per class the best product over its queries, so that the
        argmax over classes is the rule above, and a pixel that nobody claims is background (0).
    """
    num_classes = cls_logits.shape[-1] - 1
    scores, labels = cls_logits.softmax(-1).max(-1)
    kept = labels != num_classes
    masks = resize(mask_logits[kept]).sigmoid() * scores[kept, None, None]
    merged = masks.new_zeros(num_classes, *masks.shape[-2:])
    index = labels[kept, None, None].expand_as(masks)
    return merged.scatter_reduce_(0, index, masks, "amax")


def merge_sum(cls_logits: Tensor, mask_logits: Tensor, resize: Resize) -> Tensor:
    """Mask2Former's rule: sum over the queries of p_i(c) * m_i.

    Args:
        cls_logits: (Q, C + 1), the last class is no-object.
        mask_logits: (Q, h, w).
        resize: Brings mask logits (q, h, w) to the output size (q, H, W).

    Returns:
        Tensor: (C, H, W), not below 0.
    """
    probabilities = cls_logits.softmax(-1)[:, :-1]
    return torch.einsum("qc,qhw->chw", probabilities, resize(mask_logits).sigmoid())


def resizer(padded: Sequence[int], cropped: Sequence[int], original: Sequence[int]) -> Resize:
    """Undo what happened to an image on its way in: upsample, cut the padding off, resize back.

    Args:
        padded: (H, W) of the batch.
        cropped: (H, W) of this image without padding at bottom and right.
        original: (H, W) that the prediction shall have.

    Returns:
        Resize: From (q, h, w) to (q, *original).
    """

    def interpolate(masks: Tensor, size: Sequence[int]) -> Tensor:
        if tuple(masks.shape[-2:]) == tuple(size):
            return masks
        return F.interpolate(masks[:, None], tuple(size), mode="bilinear", align_corners=False)[
            :, 0
        ]

    def resize(masks: Tensor) -> Tensor:
        if len(masks) == 0:  # no query found anything
            return masks.new_zeros(0, *original, dtype=torch.float)
        masks = interpolate(masks.float(), padded)[:, : cropped[0], : cropped[1]]
        return interpolate(masks, original)

    return resize


MERGE_RULES = {"max": merge_max, "sum": merge_sum}
