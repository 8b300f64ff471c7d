"""Visual-conditional prompting: prompt k draws and names class k, at every layer (eq. 6)."""

import torch
from torch import Tensor

from ...structures import DecoderOutput
from ..set_prediction.matched_masks import Matching
from ..set_prediction.set_criterion import SetCriterion
from ..set_prediction.targets import SegmentTargets


def vcp_loss(
    output: DecoderOutput,
    labels: Tensor,
    padding: Tensor,
    targets: SegmentTargets,
    set_criterion: SetCriterion,
) -> dict[str, Tensor]:
    """l_ce + l_mask of the prompts, without a matching.

    A prompt whose class sounds without being in the picture (a crop left its object out) counts in
    neither: after TD-V there is nothing to draw or to name, and the queries of the same image learn
    so.

    Args:
        output: The decoder's predictions for the prompts, Q an image.
        labels: Class of each prompt, (B, Q).
        padding: Prompts that are none, (B, Q) bool.
        targets: Segments of the batch.
        set_criterion: Computes the losses.

    Returns:
        dict: See ``SetCriterion.forward``.
    """
    layers = len(output.cls_logits)
    matching = own_segments(labels, padding, targets, layers)
    counted = ~(padding | targets.unseen.gather(1, labels))
    return set_criterion(output, labels.expand(layers, -1, -1), matching, targets, counted=counted)


def own_segments(labels: Tensor, padding: Tensor, targets: SegmentTargets, layers: int) -> Matching:
    """Pairs of a prompt and the segment of its own class, the same at each of the layers."""
    image, query = (~padding).nonzero(as_tuple=True)
    same = (targets.image_index == image.unsqueeze(-1)) & (
        targets.labels == labels[image, query].unsqueeze(-1)
    )
    pair, segment = same.nonzero(as_tuple=True)
    return Matching(
        layer=torch.arange(layers, device=labels.device).repeat_interleave(len(pair)),
        image=image[pair].repeat(layers),
        query=query[pair].repeat(layers),
        segment=segment.repeat(layers),
    )
