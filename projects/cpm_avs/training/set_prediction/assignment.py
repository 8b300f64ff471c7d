"""Which query shall name and draw what."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Matching:
    """Pairs of a query and a segment, flattened over layers and images.

    A layer has at most one pair for each segment.

    Attributes:
        layer: (n,), ascending.
        image: (n,).
        query: (n,).
        segment: Index into the batch's flattened segments, (n,).
    """

    layer: Tensor
    image: Tensor
    query: Tensor
    segment: Tensor

    def assigned_labels(self, labels: Tensor, shape: Sequence[int], empty: int) -> Tensor:
        """Label of every query, (layers, B, Q); ``empty`` where nothing was matched."""
        assigned = labels.new_full(tuple(shape), empty)
        assigned[self.layer, self.image, self.query] = labels[self.segment]
        return assigned


@dataclass(frozen=True)
class Assignment:
    """What a part of the queries, Q of them that follow one another, shall name and draw.

    Attributes:
        labels: Class that each shall name at each layer, (layers, B, Q).
        matching: Which one shall draw which segment.
        counted: Queries that exist, (B, Q) bool.
        weight: By which its losses are multiplied.
    """

    labels: Tensor
    matching: Matching
    counted: Tensor
    weight: float = 1.0


def join(parts: Sequence[Assignment]) -> tuple[Matching, Tensor]:
    """The pairs of all parts, whose queries are numbered on, and the part of each pair, (n,)."""
    shifted, numbers, first = [], [], 0
    for number, part in enumerate(parts):
        pairs = part.matching
        shifted.append([pairs.layer, pairs.image, pairs.query + first, pairs.segment])
        numbers.append(torch.full_like(pairs.layer, number))
        first += part.labels.shape[2]
    return Matching(*map(torch.cat, zip(*shifted, strict=True))), torch.cat(numbers)
