"""Visual-conditional prompting: prompt k draws and names class k, at every layer (eq. 6)."""

import torch
from torch import Tensor

from ..set_prediction.assignment import Assignment, Matching
from ..set_prediction.targets import SegmentTargets


def vcp_assignment(
    labels: Tensor, padding: Tensor, targets: SegmentTargets, layers: int
) -> Assignment:
    """What the prompts shall name and draw, without a matching, for l_ce + l_mask.

    A prompt whose class sounds without being in the picture (a crop left its object out) counts in
    neither: after TD-V there is nothing to draw or to name, and the queries of the same image learn
    so.

    Args:
        labels: Class of each prompt, (B, K).
        padding: Prompts that are none, (B, K) bool.
        targets: Segments of the batch.
        layers: Of the decoder.
    """
    return Assignment(
        labels=labels.expand(layers, -1, -1),
        matching=own_segments(labels, padding, targets, layers),
        counted=~(padding | targets.unseen.gather(1, labels)),
    )


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
