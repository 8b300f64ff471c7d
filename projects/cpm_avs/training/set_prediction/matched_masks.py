"""Who draws what: pairs of a query and a segment, and the masks of those queries alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ...models.cpm.gaussian_functional import full_precision
from ...structures import DecoderOutput
from .targets import SegmentTargets


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


def matched_masks(output: DecoderOutput, matching: Matching, targets: SegmentTargets) -> Tensor:
    """Mask logits of the queries that are matched, (n, h, w), in full precision.

    One product draws them: an image's matched queries stand in a row with a place for each layer
    and segment. Masks that nobody asks for are not drawn, nor gone backwards through.

    Args:
        output: Predictions of all layers.
        matching: Whose masks.
        targets: The segments that they are matched with.
    """
    features = full_precision(output.mask_features).flatten(2)
    embeddings = full_precision(output.mask_embeddings)
    layers, batch_size, queries, width = embeddings.shape
    query = (matching.layer * batch_size + matching.image) * queries + matching.query
    most = max(targets.counts)  # segments of an image
    place = (matching.image * layers + matching.layer) * most + targets.place[matching.segment]
    # Whole rows are chosen by index_select: to go backwards through it is to add a few rows.
    chosen = embeddings.flatten(0, 2).index_select(0, query)
    rows = chosen.new_zeros(batch_size * layers * most, width).index_copy(0, place, chosen)
    drawn = rows.view(batch_size, layers * most, width) @ features
    masks = drawn.flatten(0, 1).index_select(0, place)
    return masks.unflatten(1, output.mask_features.shape[-2:])
