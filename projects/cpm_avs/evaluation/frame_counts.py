"""What one frame adds to the scores, in whole numbers: of a tensor or a file, by the same code.

Counts of frames are added up (``streaming.add_sums``) over a clip, a subset or a set, and
``set_scores`` makes scores of the sums. Letters as in ``mask_functional``.
"""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ..constants import IGNORE_INDEX
from . import mask_functional as F
from .streaming import Counts, to_fixed

#: Protocols and the scores of each, by the keys of the logs.
SCORES = dict(dataset=("mIoU", "F", "F1", "FDR", "aAcc"), avsbench=("J&F", "J", "F"))
PROTOCOLS = tuple(SCORES)


def frame_counts(
    pred: Tensor,
    label: Tensor,
    num_classes: int,
    *,
    prob: Tensor | None = None,
    protocols: Sequence[str] = PROTOCOLS,
    ignore_index: int = IGNORE_INDEX,
) -> Counts:
    """Counts of a frame for the protocols.

    Args:
        pred: Predicted class indices, (H, W), integer or bool, 0 <= pred < C.
        label: True class indices or ``ignore_index``, (H, W), integer or bool.
        num_classes: C.
        prob: Probability of the object, (H, W) float32 in [0, 1], of which 'avsbench' on two
            classes draws the F curve. A mask without one is as sure as can be: ``pred`` itself.
        protocols: Which of ``PROTOCOLS`` to count for.
        ignore_index: Label that is not scored.
    """
    matrix = F.confusion_matrix(pred, label, num_classes, ignore_index)
    areas = F.class_areas(matrix)
    counts = _area_counts(areas)
    if "avsbench" not in protocols:
        return counts
    if num_classes > 2:
        return counts | _semantic_counts(areas)
    curve = F.f_curve(F.threshold_histogram(pred.float() if prob is None else prob, label))
    return counts | _object_counts(F.binary_jaccard(matrix), curve)


def no_credit(label: Tensor, num_classes: int, *, protocols: Sequence[str] = PROTOCOLS) -> Counts:
    """Counts of a frame that has no usable prediction: every pixel is wrong, in every class.

    No guess stands in for it. Background everywhere, the usual one, would be right where nothing
    sounds, so that a method would gain by leaving its hardest frames out.

    Args:
        label: True class indices or 255, (H, W), integer.
        num_classes: C.
        protocols: As in :func:`frame_counts`.
    """
    nothing = label.new_zeros(label.shape)
    labelled = F.confusion_matrix(nothing, label, num_classes).sum(1)
    none = np.zeros_like(labelled)
    areas = F.ClassAreas(none, none, labelled)
    counts = _area_counts(areas)
    if "avsbench" not in protocols:
        return counts
    if num_classes > 2:
        return counts | _semantic_counts(areas)
    curve = np.zeros(len(F.THRESHOLDS)) if labelled[1] else None
    return counts | _object_counts(0.0 if labelled.any() else None, curve)


def _area_counts(areas: F.ClassAreas) -> Counts:
    return dict(
        frames=1,
        intersect=areas.intersect,
        predicted=areas.predicted,
        labelled=areas.labelled,
    )


def _semantic_counts(areas: F.ClassAreas) -> Counts:
    """Per-frame IoU and F of every class, and whether the frame shows or predicts it."""
    return dict(
        iou=to_fixed(np.nan_to_num(F.iou(areas))),
        f_beta=to_fixed(np.nan_to_num(F.f_beta(areas))),
        present=(areas.union > 0).astype(np.int64),
    )


def _object_counts(jaccard: float | None, curve: np.ndarray | None) -> Counts:
    """J and F curve of a frame of two classes, each None where the frame does not count for it."""
    return dict(
        jaccard=to_fixed(jaccard or 0.0),
        jaccard_frames=int(jaccard is not None),
        curve=to_fixed(np.zeros(len(F.THRESHOLDS)) if curve is None else curve),
        curve_frames=int(curve is not None),
    )
