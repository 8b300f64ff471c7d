"""Matching stability STS (Algorithm 1): how steadily each class goes to the same queries."""

import torch
from torch import Tensor


def assignment_counts(labels: Tensor, num_classes: int) -> Tensor:
    """How often each query was assigned each class; no-object is not counted.

    Args:
        labels: Class of every query after matching, (B, N) int64; ``num_classes`` is no-object.
        num_classes: C, with background.

    Returns:
        (C, N) int64. Counts of batches and ranks may be added.
    """
    num_queries = labels.shape[1]
    cells = labels * num_queries + torch.arange(num_queries, device=labels.device)
    counts = torch.bincount(cells.flatten(), minlength=(num_classes + 1) * num_queries)
    return counts.view(num_classes + 1, num_queries)[:num_classes]


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
