"""Where a score is lost, to names or to masks: one of them is put right, and the frame scored anew.

Shorthand: Q queries, C classes with background (index 0), H W image size. A class sounds where the
truth labels it. Class logits (Q, C + 1) have no-object last; sets of classes are (C,) bool.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..constants import IGNORE_INDEX
from . import mask_functional as F
from .frame_counts import frame_counts
from .set_scores import score_row
from .streaming import Counts, Sums

AS_PREDICTED = "as predicted"
STRUCK = "false names struck"
TRUE_NAMES = "own masks, true names"
PREDICTED_NAMES = "true masks, predicted names"
HEARD_NAMES = "true masks, names after TD-A"

#: Scores (C, H, W) that a model gives its masks with class logits (Q, C + 1).
Draw = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class QueriedFrame:
    """What a model's queries say of a frame, and what is true.

    Attributes:
        cls_logits: By which masks are merged, (Q, C + 1).
        mask_logits: At the truth's size, (Q, H, W).
        heard: What queries name after TD-A, (Q,) int, no-object C.
        truth: Class that sounds, or ``IGNORE_INDEX``, (H, W) int.
        visible: Class of what is seen, sounding or not, (H, W) int; None where the data does not
            tell.
    """

    cls_logits: Tensor
    mask_logits: Tensor
    heard: Tensor
    truth: Tensor
    visible: Tensor | None = None


def likeliest(cls_logits: Tensor) -> Tensor:
    """The class of each query, (Q,), as masks are merged by it: of equal probabilities the first.

    Args:
        cls_logits: (Q, C + 1).
    """
    return cls_logits.softmax(-1).max(-1).indices


def foreground(labels: Tensor, num_classes: int) -> Tensor:
    """Which foreground classes occur among labels, (C,) bool.

    Args:
        labels: Any shape, int; C and above are no classes.
        num_classes: C.
    """
    classes = torch.arange(num_classes, device=labels.device)
    return torch.isin(classes, labels) & (classes > 0)


def strike_false(cls_logits: Tensor, sounding: Tensor) -> Tensor:
    """Make no-object, with all probability, of queries that name what does not sound.

    Args:
        cls_logits: (Q, C + 1).
        sounding: Foreground classes that sound, (C,) bool.

    Returns:
        (Q, C + 1).
    """
    may_stay = torch.cat([sounding, sounding.new_ones(1)])
    may_stay[0] = True
    labels = likeliest(cls_logits)
    no_object = torch.full_like(labels, len(sounding))
    struck = sure_logits(no_object, len(sounding))
    return torch.where(may_stay[labels, None], cls_logits, struck.to(cls_logits.dtype))


def true_labels(masks: Tensor, truth: Tensor, num_classes: int) -> Tensor:
    """Give each class of a frame, background too, to the query with the best mask for it.

    No query gets two: where one is the best for two classes, the sum of all IoUs decides. A class
    that no mask touches is given to none.

    Args:
        masks: (Q, H, W) bool.
        truth: (H, W) int; ``IGNORE_INDEX`` is left out.
        num_classes: C.

    Returns:
        Class of each query, C for those without one, (Q,) int64.
    """
    counted = truth != IGNORE_INDEX
    masks, truth = masks[:, counted].float(), truth[counted]
    classes = truth.unique()
    true_masks = (truth == classes[:, None]).float()
    both = true_masks @ masks.T  # whole numbers of pixels
    either = true_masks.sum(1)[:, None] + masks.sum(1) - both
    ious = both / either
    rows, queries = linear_sum_assignment(ious.cpu().numpy(), maximize=True)
    labels = torch.full((len(masks),), num_classes, device=masks.device)
    for row, query in zip(rows, queries, strict=True):
        if ious[row, query] > 0:
            labels[query] = classes[row]
    return labels


def sure_logits(labels: Tensor, num_classes: int) -> Tensor:
    """Class logits of queries that are sure of their class, (Q, C + 1) float32.

    Args:
        labels: (Q,) int, no-object C.
        num_classes: C.
    """
    sure = torch.full((len(labels), num_classes + 1), -torch.inf, device=labels.device)
    return sure.scatter(1, labels[:, None], 0.0)


def coloured(visible: Tensor, names: Tensor) -> Tensor:
    """The map of what is seen (H, W), with background in the place of classes without a name.

    Args:
        visible: (H, W) int.
        names: (C,) bool.
    """
    return torch.where(torch.isin(visible, names.nonzero()), visible, 0)


def frame_sums(frame: QueriedFrame, draw: Draw) -> Sums:
    """What a frame adds: counts of pixels under ('pixels', row), of names under ('names', row).

    Args:
        frame: A model's queries, and the truth.
        draw: The model's own way of merging, for the frame's masks.
    """
    count = frame.cls_logits.shape[-1] - 1
    sounding = foreground(frame.truth, count)
    given = true_labels(frame.mask_logits > 0, frame.truth, count)
    maps = {
        row: draw(logits).max(0).indices
        for row, logits in (
            (AS_PREDICTED, frame.cls_logits),
            (STRUCK, strike_false(frame.cls_logits, sounding)),
            (TRUE_NAMES, sure_logits(given, count)),
        )
    }
    names = {
        PREDICTED_NAMES: foreground(likeliest(frame.cls_logits), count),
        HEARD_NAMES: foreground(frame.heard, count),
    }
    if frame.visible is not None:
        maps |= {row: coloured(frame.visible, named) for row, named in names.items()}
    sums: Sums = {
        ("pixels", row): frame_counts(found, frame.truth, count, protocols=("dataset",))
        for row, found in maps.items()
    }
    for row, named in names.items():
        sums["names", row] = _name_counts(named, sounding)
    return sums


def _name_counts(named: Tensor, sounding: Tensor) -> Counts:
    """Names that are right, that are given, and that there are, of a frame."""
    return dict(
        right=int((named & sounding).sum()), named=int(named.sum()), true=int(sounding.sum())
    )


def lost_scores(sums: Sums) -> tuple[dict[str, float], dict[str, float]]:
    """The dataset protocol's mIoU by row, and F1 of the names by row, both in percent.

    F1 counts the names of all frames together; it is NaN where nothing sounds and none is given.

    Args:
        sums: Those of ``frame_sums``, added up.
    """
    miou = {
        row: score_row("dataset", row, counts, 0).scores["mIoU"]
        for (kind, row), counts in sums.items()
        if kind == "pixels"
    }
    f1 = {row: 100 * _f1(counts) for (kind, row), counts in sums.items() if kind == "names"}
    return miou, f1


def _f1(names: Counts) -> float:
    areas = F.ClassAreas(*(np.array(names[key]) for key in ("right", "named", "true")))
    return float(F.f_beta(areas, 1.0))
