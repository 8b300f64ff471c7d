"""Scores of a set, a subset or a clip from the sums of its frames' counts."""

from collections.abc import Sequence

import numpy as np

from . import mask_functional as F
from .report import ScoreRow
from .streaming import Counts, Sums, add_sums, from_fixed


def score_row(protocol: str, subset: str, counts: Counts, clips: int) -> ScoreRow:
    """Scores under one protocol, in percent.

    Args:
        protocol: 'dataset' or 'avsbench'.
        subset: Name for the row.
        counts: Sum of ``frame_counts`` over the subset's frames.
        clips: Different clips among them.
    """
    per_class: dict[str, np.ndarray] = {}
    if protocol == "dataset":
        areas = F.ClassAreas(counts["intersect"], counts["predicted"], counts["labelled"])
        scores = F.dataset_scores(areas)
        per_class = dict(IoU=F.iou(areas), F=F.f_beta(areas))
    elif "curve" in counts:
        scores = object_scores(counts)
    else:
        frames = np.where(counts["present"] > 0, counts["present"], np.nan)
        per_class = {
            "IoU": from_fixed(counts["iou"]) / frames,
            "F": from_fixed(counts["f_beta"]) / frames,
        }
        scores = dict(
            J=float(np.nan_to_num(per_class["IoU"]).mean()),
            F=float(np.nan_to_num(per_class["F"]).mean()),
        )
    if protocol == "avsbench":
        scores = with_mean(scores)
    return ScoreRow(
        protocol,
        subset,
        counts["frames"],
        clips,
        {name: 100 * value for name, value in scores.items()},
        {name: 100 * values for name, values in per_class.items()},
    )


def with_mean(scores: dict[str, float]) -> dict[str, float]:
    """J&F, J and F."""
    return {"J&F": (scores["J"] + scores["F"]) / 2} | scores


def object_scores(counts: Counts) -> dict[str, float]:
    """J, and F at the threshold that is best for these frames together, as fractions."""
    return dict(
        J=float(from_fixed(counts["jaccard"])) / max(counts["jaccard_frames"], 1),
        F=float(from_fixed(counts["curve"]).max()) / max(counts["curve_frames"], 1),
    )


def batch_scores(clips: Sequence[Counts], batch: int) -> dict[str, float]:
    """J and F as scripts have them that score K clips at a time, as fractions.

    Args:
        clips: Sums of each clip's counts, two classes, in the order of the set.
        batch: K. A short last batch counts as much as the others.
    """
    values = []
    for start in range(0, len(clips), batch):
        sums: Sums = {}
        for counts in clips[start : start + batch]:
            add_sums(sums, {("batch", ""): counts})
        values.append(object_scores(sums["batch", ""]))
    return {name: float(np.mean([value[name] for value in values])) for name in ("J", "F")}
