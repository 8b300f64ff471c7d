"""The masks of matched queries, and no others."""

from torch import Tensor

from ...models.precision import full_precision
from ...structures import DecoderOutput
from .assignment import Matching
from .targets import SegmentTargets


def matched_masks(
    output: DecoderOutput, matching: Matching, targets: SegmentTargets, group: Tensor, groups: int
) -> Tensor:
    """Mask logits of the queries that are matched, (n, h, w), in full precision.

    One product draws them: an image's matched queries stand in a row with a place for each group
    and segment. Masks that nobody asks for are not drawn, nor gone backwards through.

    Args:
        output: Predictions of all layers.
        matching: Whose masks.
        targets: The segments that they are matched with.
        group: Of each pair, (n,); a group has at most one pair for each segment, as a layer has.
        groups: Their number.
    """
    features = full_precision(output.mask_features).flatten(2)
    embeddings = full_precision(output.mask_embeddings)
    _, batch_size, queries, width = embeddings.shape
    query = (matching.layer * batch_size + matching.image) * queries + matching.query
    most = max(targets.counts)  # segments of an image
    place = (matching.image * groups + group) * most + targets.place[matching.segment]
    # Whole rows are chosen by index_select: to go backwards through it is to add a few rows.
    chosen = embeddings.flatten(0, 2).index_select(0, query)
    rows = chosen.new_zeros(batch_size * groups * most, width).index_copy(0, place, chosen)
    drawn = rows.view(batch_size, groups * most, width) @ features
    masks = drawn.flatten(0, 1).index_select(0, place)
    return masks.unflatten(1, output.mask_features.shape[-2:])
