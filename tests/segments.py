"""Label maps, predictions with given masks, and segments, for the tests of set prediction."""

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from projects.cpm_avs.structures import DecoderOutput
from projects.cpm_avs.training.set_prediction.assignment import Assignment, Matching
from projects.cpm_avs.training.set_prediction.set_criterion import SetCriterion
from projects.cpm_avs.training.set_prediction.targets import SegmentTargets, build_targets

LAYERS, IMAGES, QUERIES, CLASSES = 2, 3, 5, 4


def sample(rows: list[list[int]], **meta) -> SegDataSample:
    item = SegDataSample(metainfo=meta)
    item.gt_sem_seg = PixelData(data=torch.tensor(rows)[None])
    return item


def drawing(embeddings: Tensor, cls_logits: Tensor, masks: Tensor) -> DecoderOutput:
    """Predictions with given masks (layers, B, Q, h, w): each cell has a feature of its own."""
    images, _, height, width = masks.shape[1:]
    cells = torch.eye(height * width, dtype=masks.dtype).view(-1, height, width)
    return DecoderOutput(embeddings, cls_logits, masks.flatten(3), cells.expand(images, -1, -1, -1))


def all_masks(output: DecoderOutput) -> Tensor:
    """(layers, B, Q, h, w)."""
    return torch.stack([output.masks(layer) for layer in range(len(output.cls_logits))])


def outputs(seed: int = 0, images: int = IMAGES) -> DecoderOutput:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return drawing(
        normal(LAYERS, images, QUERIES, 8),
        normal(LAYERS, images, QUERIES, CLASSES + 1),
        2 * normal(LAYERS, images, QUERIES, 4, 4),
    )


def targets_of(seed: int = 0) -> SegmentTargets:
    """Images with 4, 1 and 3 segments, some pixels ignored."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randint(0, CLASSES, (IMAGES, 8, 8), generator=generator)
    maps[1] = 2
    maps[2][maps[2] == 1] = 255
    return build_targets([sample(rows.tolist()) for rows in maps], CLASSES)


def blocky(targets: SegmentTargets) -> SegmentTargets:
    """Each pixel of a 4 x 4 map doubled, so that bilinear reading at its centre is exact."""
    half = targets.label_map[:, ::2, ::2]
    doubled = half.repeat_interleave(2, 1).repeat_interleave(2, 2)
    return build_targets([sample(rows.tolist()) for rows in doubled], CLASSES)


def criterion(**kwargs) -> SetCriterion:
    """One that compares masks at all cells, so that nothing is random."""
    return SetCriterion(num_classes=CLASSES, **dict(dict(points=dict(type="grid")), **kwargs))


def none() -> Matching:
    """No pair at all."""
    return Matching(*torch.zeros(4, 0, dtype=torch.long))


def of_one(
    loss: SetCriterion,
    output: DecoderOutput,
    labels: Tensor,
    matching: Matching,
    targets: SegmentTargets,
    counted: Tensor | None = None,
) -> dict[str, Tensor]:
    """Losses of queries that are all of one part."""
    everyone = torch.ones_like(labels[0], dtype=torch.bool)
    part = Assignment(labels, matching, everyone if counted is None else counted)
    (losses,) = loss(output, targets, [part])
    return losses
