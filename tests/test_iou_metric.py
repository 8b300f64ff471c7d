"""mmseg's IoUMetric beside AVSMetric: equal where every class occurs, and where not."""

import numpy as np
import pytest
import torch
from mmseg.evaluation import IoUMetric

from projects.cpm_avs.evaluation import mask_functional as F

BETA = 0.3**0.5  # IoUMetric takes beta, not its square

# Rows of truth, columns of prediction.
ALL_OCCUR = [[50, 3, 2], [4, 20, 1], [0, 5, 15]]
ABSENT = [[50, 3, 0], [4, 20, 0], [0, 0, 0]]  # class 2 is neither there nor predicted
NEVER_PREDICTED = [[50, 3, 0], [4, 20, 0], [2, 5, 0]]
NEVER_RIGHT = [[50, 3, 2], [4, 20, 1], [2, 5, 0]]
NEVER_THERE = [[50, 3, 2], [4, 20, 1], [0, 0, 0]]  # predicted though


def theirs(matrix: list[list[int]]) -> dict[str, float]:
    """Means over the classes, before IoUMetric rounds them to two digits of a percent."""
    areas = F.class_areas(np.array(matrix))
    parts = (areas.intersect, areas.union, areas.predicted, areas.labelled)
    told = IoUMetric.total_area_to_metrics(
        *(torch.from_numpy(part).double() for part in parts), ["mIoU", "mFscore"], beta=BETA
    )
    return {name: float(np.nanmean(values)) for name, values in told.items()}


@pytest.mark.parametrize("matrix", [ALL_OCCUR, [[30, 0], [0, 4]], [[1, 9], [9, 1]]])
def test_they_agree_where_every_class_occurs(matrix: list[list[int]]) -> None:
    own, other = F.dataset_scores(F.class_areas(np.array(matrix))), theirs(matrix)
    assert own["mIoU"] == pytest.approx(other["IoU"], rel=1e-14)
    assert own["F"] == pytest.approx(other["Fscore"], rel=1e-6)  # theirs is float32
    assert own["aAcc"] == pytest.approx(other["aAcc"], rel=1e-14)


@pytest.mark.parametrize(
    ("matrix", "iou_ratio", "f_ratio"),
    [
        (ABSENT, 2 / 3, 1),  # mIoU counts it as 0, F leaves it out
        (NEVER_PREDICTED, 1, 2 / 3),  # F counts it as 0, IoUMetric leaves it out
        (NEVER_RIGHT, 1, 2 / 3),
        (NEVER_THERE, 1, 2 / 3),
    ],
)
def test_they_differ_where_a_class_is_absent_or_never_right(
    matrix: list[list[int]], iou_ratio: float, f_ratio: float
) -> None:
    own, other = F.dataset_scores(F.class_areas(np.array(matrix))), theirs(matrix)
    assert own["mIoU"] == pytest.approx(iou_ratio * other["IoU"], rel=1e-14)
    assert own["F"] == pytest.approx(f_ratio * other["Fscore"], rel=1e-6)
    assert own["aAcc"] == pytest.approx(other["aAcc"], rel=1e-14)


def test_their_sums_are_of_single_precision_and_ours_exact() -> None:
    label = torch.ones(1, 4, dtype=torch.long)
    assert IoUMetric.intersect_and_union(label, label, 2, 255)[0].dtype == torch.float32
    assert F.confusion_matrix(label, label, 2, 255).dtype == np.int64
