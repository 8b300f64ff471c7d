"""Matching stability STS (Algorithm 1): how steadily each class goes to the same queries."""

import torch
from torch import Tensor


def assignment_counts(
    labels: Tensor, num_classes: int, *, include_no_object: bool = False
) -> Tensor:
    """How often each query was assigned each class.

    Args:
        labels: Class of every query after matching, (B, N) int64; ``num_classes`` is no-object.
        num_classes: C, with background.
        include_no_object: Keep no-object as the last row.

    Returns:
        (C, N) int64, or (C + 1, N) with no-object. Counts of batches and ranks may be added.
    """
    num_queries = labels.shape[1]
    cells = labels * num_queries + torch.arange(num_queries, device=labels.device)
    counts = torch.bincount(cells.flatten(), minlength=(num_classes + 1) * num_queries)
    counts = counts.view(num_classes + 1, num_queries)
    return counts if include_no_object else counts[:num_classes]


def stability_score(counts: Tensor) -> float:
    """STS: mean entropy, in nats, of the classes' distributions over the queries.

    0 means that each class always went to one query, ln N that it went to any. Classes that never
    occurred have no distribution and are left out of the mean.

    Args:
        counts: Assignments of each class to each query, (C, N), integer.

    Returns:
        The score; NaN if no class occurred.
    """
    counts = counts[counts.sum(1) > 0].double()
    share = (counts / counts.sum(1, keepdim=True)).clamp(1e-12, 1)
    return float(-(share * share.log()).sum(1).mean())
