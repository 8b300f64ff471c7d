"""Losses divide by what counts on all ranks: the mean over ranks is that of the whole batch."""

import pytest
import torch
from ranks import run_on_ranks
from segments import outputs, sample

from projects.cpm_avs.structures import DecoderOutput
from projects.cpm_avs.training.distributed import gather_variable
from projects.cpm_avs.training.prompting.acp_loss import acp_loss
from projects.cpm_avs.training.prompting.pcl_loss import info_nce
from projects.cpm_avs.training.set_prediction.assignment import Assignment, Matching
from projects.cpm_avs.training.set_prediction.set_criterion import SetCriterion
from projects.cpm_avs.training.set_prediction.targets import build_targets


def acp(part: slice) -> float:
    generator = torch.Generator().manual_seed(0)
    predicted, ratio = torch.rand(2, 2, 5, 6, generator=generator)
    counted = torch.rand(2, 5, 6, generator=generator) > 0.3
    counted[1, 1:] = False  # the second image has far less to say
    return acp_loss(predicted[part], ratio[part], counted[part]).item()


def pcl(part: slice) -> list[float]:
    """The loss, and the slope in the scales of a channel of the anchors and of the pixels."""
    generator = torch.Generator().manual_seed(0)
    anchors, pixels = (torch.randn(n, 6, generator=generator) for n in (4, 9))
    scales = torch.ones(2, requires_grad=True)
    stretch = torch.zeros(6)
    stretch[0] = 1
    anchors, pixels = (
        x * (1 + (scale - 1) * stretch) for x, scale in zip((anchors, pixels), scales, strict=True)
    )
    labels = torch.tensor([1, 2, 7, 7])  # the second half has no positive
    anchors, labels = anchors.unflatten(0, (2, 2))[part], labels.unflatten(0, (2, 2))[part]
    # Each half of the batch has pixels that the other one lacks; all are compared.
    seen = slice(4 if part.start else 0, 9 if part.stop == 2 else 4)
    everywhere = gather_variable(pixels[seen], (torch.arange(9) % 3)[seen])
    loss = info_nce(anchors.flatten(0, 1), labels.flatten(), *everywhere, tau=0.1)
    loss.backward()
    return [loss.item(), *scales.grad.tolist()]


def set_losses(part: slice) -> list[float]:
    output = outputs(images=2)
    own = DecoderOutput(
        output.embeddings[:, part],
        output.cls_logits[:, part],
        output.mask_embeddings[:, part],
        output.mask_features[part],
    )
    maps = [[[0, 1], [1, 1]], [[255, 255], [255, 255]]]
    targets = build_targets([sample(rows) for rows in maps[part]], 4)
    labels = torch.full((2, 2, 5), 4)
    labels[:, 0, :2] = torch.tensor([0, 1])
    # Both segments are the first image's; the second has nothing to draw. The first layer has one
    # match, half of one a rank.
    pairs = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 1, 1]])
    pairs = pairs if part.start == 0 else pairs[:0]
    criterion = SetCriterion(num_classes=4, points=dict(type="grid"))
    labels = labels[:, part]
    counted = torch.ones_like(labels[0], dtype=torch.bool)
    (losses,) = criterion(own, targets, [Assignment(labels, Matching(*pairs.T), counted)])
    return [loss.item() for loss in losses.values()]


def of_rank(rank: int) -> list[float]:
    part = slice(rank, rank + 1)
    return [acp(part), *pcl(part), *set_losses(part)]


def test_the_mean_over_two_ranks_is_that_of_the_whole_batch():
    everything = slice(0, 2)
    whole = [acp(everything), *pcl(everything), *set_losses(everything)]
    first, second = run_on_ranks(2, of_rank)
    means = [(a + b) / 2 for a, b in zip(first, second, strict=True)]
    assert means == pytest.approx(whole, rel=1e-5)
    assert all(abs(value) > 0.01 for value in whole)
