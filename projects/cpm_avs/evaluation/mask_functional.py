"""Counts and scores of masks, pure and vectorised: the arithmetic of both metric protocols.

Shorthand: C classes with background (index 0), H W image size, K = 255 thresholds. Pixels are
counted once, on the device that holds the prediction; scores are float64 of exact counts.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..constants import IGNORE_INDEX

BETA2 = 0.3
# AVSBench's own line, float32: the last threshold is exactly 1.
THRESHOLDS = torch.linspace(0, 1 - 1e-10, 255)


@dataclass(frozen=True)
class ClassAreas:
    """Pixels per class, each (C,) int64.

    Attributes:
        intersect: Predicted and labelled as the class (TP).
        predicted: Predicted as the class (TP + FP).
        labelled: Labelled as the class (TP + FN).
    """

    intersect: np.ndarray
    predicted: np.ndarray
    labelled: np.ndarray

    @property
    def union(self) -> np.ndarray:
        return self.predicted + self.labelled - self.intersect


def confusion_matrix(
    pred: Tensor, label: Tensor, num_classes: int, ignore_index: int = IGNORE_INDEX
) -> np.ndarray:
    """Count pixels by (truth, prediction).

    Args:
        pred: Predicted class indices, (H, W), integer or bool, 0 <= pred < C.
        label: True class indices or ``ignore_index``, (H, W), integer or bool.
        num_classes: C.
        ignore_index: Label that is not counted, C <= ignore_index.

    Returns:
        (C, C) int64; rows are the truth. Pixels labelled ``ignore_index`` are left out.
    """
    if pred.shape != label.shape:
        raise ValueError(
            f"The prediction is {tuple(pred.shape)} and the truth {tuple(label.shape)}; load the "
            "annotation where the prediction's size is decided (after Resize for a fixed size, "
            "before it for the original size)."
        )
    if ignore_index < num_classes:
        raise ValueError(f"ignore_index={ignore_index} is one of the {num_classes} classes.")
    pred, label = pred.flatten().int(), label.flatten().int()
    if bad := _outside(pred, num_classes - 1):
        raise ValueError(
            f"Class {bad[0]} was predicted, but the data set has {num_classes} classes; "
            "set the model's num_classes to that of the data set."
        )
    # Ignored pixels get a row of their own: cheaper than cutting them out of both maps.
    rows, bad = ignore_index + 1, _outside(label, ignore_index)
    if not bad:
        counts = torch.bincount(label * num_classes + pred, minlength=rows * num_classes)
        table = counts.cpu().numpy().reshape(rows, num_classes)
        bad = (table[num_classes:ignore_index].sum(1).nonzero()[0] + num_classes).tolist()
    if bad:
        raise ValueError(
            f"The truth holds label {bad[0]}, but the data set has {num_classes} classes and "
            f"ignores {ignore_index}; run tools/prepare_data.py check on the data."
        )
    return table[:num_classes]


def _outside(values: Tensor, highest: int) -> list[int]:
    """Those of the lowest and the highest value that are not from 0 to ``highest``."""
    if not values.numel():
        return []
    extremes = torch.stack(values.aminmax()).tolist()
    return [value for value in extremes if not 0 <= value <= highest]


def class_areas(matrix: np.ndarray) -> ClassAreas:
    """Areas of every class from a (C, C) confusion matrix with rows of truth."""
    return ClassAreas(matrix.diagonal().copy(), matrix.sum(0), matrix.sum(1))


def iou(areas: ClassAreas) -> np.ndarray:
    """Intersection over union, (C,) float64; NaN where a class is in neither map."""
    return _ratio(areas.intersect, areas.union)


def f_beta(areas: ClassAreas, beta2: float = BETA2) -> np.ndarray:
    """(1 + b) TP / ((1 + b) TP + b FN + FP), (C,) float64; NaN where a class is in neither map.

    Equals (1 + b) P R / (b P + R), but stays 0 (not NaN) where P or R alone is undefined.
    """
    return _ratio((1 + beta2) * areas.intersect, beta2 * areas.labelled + areas.predicted)


def false_discovery(areas: ClassAreas) -> np.ndarray:
    """FP / (FP + TP), (C,) float64; NaN where a class is never predicted."""
    return _ratio(areas.predicted - areas.intersect, areas.predicted)


def dataset_scores(areas: ClassAreas) -> dict[str, float]:
    """Scores of one confusion matrix over a whole set, as CAVP computes them.

    mIoU is the mean over all C classes where one that is in neither map counts 0; F (beta^2 = 0.3),
    F1 and FDR leave such classes out.
    """
    return dict(
        mIoU=float(np.nan_to_num(iou(areas)).mean()),
        F=_mean_of_defined(f_beta(areas)),
        F1=_mean_of_defined(f_beta(areas, 1.0)),
        FDR=_mean_of_defined(false_discovery(areas)),
        aAcc=float(_ratio(areas.intersect.sum(), areas.labelled.sum())),
    )


def foreground_probability(scores: Tensor) -> Tensor:
    """Probability of the object: s1 / (s0 + s1), 0 where both scores are 0.

    Args:
        scores: Scores of background and object, (2, H, W), 0 <= s.

    Returns:
        (H, W) float32, between 0 and 1.
    """
    scores = scores.float()
    low, high = scores.aminmax()
    if not (low >= 0 and high < float("inf")):  # also false for NaN
        raise ValueError(
            f"Scores must be finite and not negative, got {float(low):g} ... {float(high):g}; "
            "seg_logits must hold probabilities, not logits."
        )
    return scores[1] / scores.sum(0).clamp(min=torch.finfo(torch.float32).tiny)


def thresholds_reached(prob: Tensor) -> Tensor:
    """Place of the highest of the 255 thresholds that a probability reaches, int32, 0 to K - 1.

    Args:
        prob: Probability of the object, float32, between 0 and 1, any shape.
    """
    # The thresholds are evenly spaced: the product, pushed up by more than its rounding error, is
    # right or one too high, and one comparison settles it. A binary search (torch.bucketize) takes
    # ten times as long.
    reached = (prob * (len(THRESHOLDS) - 1) + 0.01).int()
    nearest = THRESHOLDS.to(prob.device).index_select(0, reached.flatten()).view(prob.shape)
    return reached - (prob < nearest).int()


def to_grey(prob: Tensor) -> Tensor:
    """Probabilities as 8 bits that leave the F curve as it is: uint8, the shape of ``prob``.

    The value over 255 lies between the same two thresholds as the probability, of which it is at
    most 1/254 away.

    Args:
        prob: Probability of the object, float32, between 0 and 1.
    """
    reached = thresholds_reached(prob)
    grey = (reached + 1).clamp(max=255)  # below the first threshold two values are free
    return torch.where(reached == 0, (prob * 255).round().int(), grey).to(torch.uint8)


def threshold_histogram(prob: Tensor, label: Tensor) -> np.ndarray:
    """Count pixels by (truth, highest threshold reached): 255 thresholds in one pass.

    Args:
        prob: Probability of the object, (H, W) float32, between 0 and 1.
        label: 0 or 1, (H, W); pixels with a higher label are not counted.

    Returns:
        (2, K) int64.
    """
    size, reached = len(THRESHOLDS), thresholds_reached(prob.flatten())
    # Pixels that don't count get a row of their own: cheaper than cutting them out.
    rows = label.flatten().clamp(max=2).int()
    counts = torch.bincount(rows * size + reached, minlength=3 * size)
    return counts.cpu().numpy().reshape(3, size)[:2]


def f_curve(histogram: np.ndarray) -> np.ndarray | None:
    """F_beta at every threshold, (K,) float64; None if the truth has no object.

    Args:
        histogram: Result of :func:`threshold_histogram`, (2, K).
    """
    labelled = histogram[1].sum()
    if labelled == 0:
        return None
    reached = histogram[:, ::-1].cumsum(1)[:, ::-1]
    return (1 + BETA2) * reached[1] / (BETA2 * labelled + reached.sum(0))


def binary_jaccard(matrix: np.ndarray) -> float | None:
    """AVSBench's J of one frame: IoU of the object, or of the background if there is no object.

    Args:
        matrix: (2, 2) confusion matrix of the frame.

    Returns:
        J, or None if every pixel is ignored.
    """
    total = matrix.sum()
    if total == 0:
        return None
    if matrix[1].sum() == 0:
        return float(matrix[0, 0] / (total + 1e-7))
    return float(matrix[1, 1] / (total - matrix[0, 0] + 1e-7))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Division that gives NaN for anything / 0, without a warning."""
    safe = np.where(denominator == 0, 1, denominator)
    return np.where(denominator == 0, np.nan, numerator / safe)


def _mean_of_defined(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else 0.0
