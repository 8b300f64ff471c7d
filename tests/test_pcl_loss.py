"""Regions, pooling, pixel sampling and eq. 9 by hand."""

import math

import pytest
import torch

from projects.cpm_avs.training.prompting.pcl_loss import (
    info_nce,
    masked_average,
    masked_max,
    saliency,
    sample_pixels,
)

TAU = 0.1
# Unit vectors at 0, 60, 90 and 180 degrees.
EAST, SIXTY, NORTH, WEST = (
    torch.tensor([math.cos(a), math.sin(a)]) for a in (0, math.pi / 3, math.pi / 2, math.pi)
)


def nce(anchors, anchor_labels, pixels, pixel_labels, tau=TAU):
    return info_nce(
        torch.stack(anchors),
        torch.tensor(anchor_labels),
        torch.stack(pixels),
        torch.tensor(pixel_labels),
        tau,
    )


def hand(positives: list[float], negatives: list[float], tau: float = TAU) -> float:
    """Eq. 9 of one anchor from cosines."""
    rest = sum(math.exp(cosine / tau) for cosine in negatives)
    terms = [math.exp(cosine / tau) for cosine in positives]
    return sum(-math.log(term / (term + rest)) for term in terms) / len(terms)


def test_eq_9_with_two_positives_and_two_negatives():
    loss = nce([EAST], [1], [EAST, SIXTY, NORTH, WEST], [1, 1, 0, 2])
    assert loss.item() == pytest.approx(hand([1.0, 0.5], [0.0, -1.0]), rel=1e-4)
    warm = nce([EAST], [1], [EAST, SIXTY, NORTH, WEST], [1, 1, 0, 2], tau=1.0)
    assert warm.item() == pytest.approx(hand([1.0, 0.5], [0.0, -1.0], 1.0), rel=1e-5)


def test_lengths_do_not_matter():
    loss = nce([EAST], [1], [SIXTY, NORTH], [1, 0])
    scaled = nce([30 * EAST], [1], [0.1 * SIXTY, 7 * NORTH], [1, 0])
    torch.testing.assert_close(loss, scaled)


def test_mean_over_the_anchors_that_have_a_positive():
    pixels, labels = [EAST, SIXTY, NORTH], [1, 2, 0]
    loss = nce([EAST, NORTH, WEST], [1, 2, 3], pixels, labels)  # class 3 is nowhere
    sine = math.sin(math.pi / 3)
    expected = (hand([1.0], [0.5, 0.0]) + hand([sine], [0.0, 1.0])) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_equals_a_loop_over_anchors_and_positives():
    generator = torch.Generator().manual_seed(0)
    anchors, pixels = (torch.randn(n, 6, generator=generator) for n in (4, 30))
    anchor_labels = torch.tensor([1, 2, 2, 3])
    pixel_labels = torch.randint(0, 4, (30,), generator=generator)
    cosines = torch.nn.functional.cosine_similarity(anchors[:, None], pixels[None], dim=-1)
    expected = [
        hand(row[pixel_labels == label].tolist(), row[pixel_labels != label].tolist())
        for row, label in zip(cosines, anchor_labels, strict=True)
    ]
    loss = info_nce(anchors, anchor_labels, pixels, pixel_labels, TAU)
    assert loss.item() == pytest.approx(sum(expected) / 4, rel=1e-5)


def test_without_negatives_loss_and_gradient_are_zero():
    anchors = torch.randn(2, 6, requires_grad=True)
    pixels = torch.randn(3, 6, requires_grad=True)
    loss = info_nce(anchors, torch.tensor([1, 1]), pixels, torch.tensor([1, 1, 1]), TAU)
    assert loss == 0
    loss.backward()
    assert (anchors.grad == 0).all() and (pixels.grad == 0).all()


@pytest.mark.parametrize("anchors, pixels", [(0, 3), (2, 0), (0, 0), (2, 3)])
def test_no_pair_gives_zero_and_a_live_graph(anchors, pixels):
    anchors = torch.randn(anchors, 6, requires_grad=True)
    pixels = torch.randn(pixels, 6, requires_grad=True)
    labels = torch.ones(len(anchors), dtype=torch.long)
    loss = info_nce(anchors, labels, pixels, torch.zeros(len(pixels), dtype=torch.long), TAU)
    assert loss == 0
    loss.backward()
    assert (anchors.grad == 0).all() and (pixels.grad == 0).all()


def test_zero_vectors_do_no_harm():
    anchors = torch.zeros(1, 6, requires_grad=True)
    loss = info_nce(anchors, torch.tensor([1]), torch.zeros(2, 6), torch.tensor([1, 0]), TAU)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2)) and anchors.grad.isfinite().all()


def test_gradient_in_float64():
    generator = torch.Generator().manual_seed(0)
    anchors, pixels = (
        torch.randn(n, 4, generator=generator, dtype=torch.float64).requires_grad_() for n in (3, 6)
    )
    labels = torch.tensor([1, 2, 3]), torch.tensor([1, 1, 2, 0, 0, 2])

    def loss(anchors, pixels):
        return info_nce(anchors, labels[0], pixels, labels[1], TAU)

    assert loss(anchors, pixels).dtype == torch.float64
    assert torch.autograd.gradcheck(loss, (anchors, pixels))


def test_half_precision_under_autocast_is_computed_in_float32():
    anchors, pixels = torch.randn(3, 16).bfloat16(), torch.randn(9, 16).bfloat16()
    labels = torch.tensor([0, 1, 2]), torch.arange(9) % 3
    expected = info_nce(anchors.float(), labels[0], pixels.float(), labels[1], TAU)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = info_nce(anchors, labels[0], pixels, labels[1], TAU)
    assert found.dtype == torch.float32 and torch.equal(found, expected)


FEATURES = torch.tensor([[[1.0, 2.0], [3.0, -4.0]], [[-1.0, -2.0], [-3.0, -4.0]]])[None]
SOME = torch.tensor([[[True, False], [True, False]]])


def test_masked_pooling_hand_numbers():
    assert masked_average(FEATURES, SOME).tolist() == [[2.0, -2.0]]
    assert masked_max(FEATURES, SOME).tolist() == [[3.0, -1.0]]


@pytest.mark.parametrize("pool", [masked_average, masked_max])
def test_pooling_over_nothing_is_zero_with_a_finite_gradient(pool):
    features = torch.cat([FEATURES, FEATURES]).requires_grad_()
    pooled = pool(features, torch.cat([SOME, SOME & False]))
    assert pooled[1].tolist() == [0, 0] and pooled[0].abs().sum() > 0
    pooled.sum().backward()
    assert features.grad.isfinite().all() and (features.grad[1] == 0).all()


@pytest.mark.parametrize("pool", [masked_average, masked_max])
def test_pooling_reads_only_its_region(pool):
    outside = FEATURES.clone()
    outside[..., 1] = 99.0
    assert torch.equal(pool(outside, SOME), pool(FEATURES, SOME))


def test_saliency_is_above_its_own_mean():
    masks = torch.tensor([[[-1.0, 0.0], [1.0, 9.0]], [[3.0, -3.0], [-3.0, -3.0]]])
    # sigmoid: 0.27 0.5 0.73 1.0, mean 0.62; 0.95 0.05 0.05 0.05, mean 0.27
    expected = [[[False, False], [True, True]], [[True, False], [False, False]]]
    assert saliency(masks, (2, 2)).tolist() == expected


def test_saliency_is_averaged_onto_the_lattice_after_the_sigmoid():
    masks = torch.full((1, 2, 8), -9.0)
    masks[0, :, 1] = 100.0  # a spike that a mean of logits would let win over its cell
    masks[0, :, 4:] = 0.0
    # Cells: sigmoid (0, 1, 0, 0) -> 0.25 and (0.5 ...) -> 0.5.
    assert saliency(masks, (1, 2)).tolist() == [[[False, True]]]


def test_a_constant_mask_has_no_salient_bin():
    for value in torch.randn(50).tolist():
        for size in ((2, 16), (6, 16), (18, 16)):
            masks = torch.full((1, 4 * size[0], 4 * size[1]), value)
            assert not saliency(masks, size).any()


def test_pixels_are_sampled_by_class_up_to_the_cap():
    label_map = torch.tensor([[0] * 50 + [1] * 3 + [255] * 20 + [2] * 30, [-1] * 40 + [2] * 63])
    chosen = sample_pixels(label_map, 3, 10)
    labels = label_map.flatten()[chosen]
    assert labels.tolist() == [0] * 10 + [1] * 3 + [2] * 10
    assert len(chosen.unique()) == len(chosen)


def test_each_pixel_of_a_class_is_equally_likely():
    torch.manual_seed(0)
    label_map = torch.tensor([1, 0, 1, 1, 0, 1])
    counts = torch.zeros(6)
    for _ in range(600):
        counts[sample_pixels(label_map, 2, 1)] += 1
    assert counts[[1, 4]].min() > 240 and counts[[0, 2, 3, 5]].min() > 100


def test_no_pixel_to_choose():
    assert len(sample_pixels(torch.full((4,), -1), 3, 5)) == 0
