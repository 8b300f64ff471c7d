"""Focal, dice and cross-entropy by hand, through all layers, and what must not count."""

import math

import pytest
import torch
from mmdet.models.utils import get_uncertain_point_coords_with_randomness
from segments import (
    CLASSES,
    all_masks,
    blocky,
    criterion,
    drawing,
    none,
    of_one,
    outputs,
    sample,
    targets_of,
)
from torch import Tensor

from projects.cpm_avs.structures import DecoderOutput
from projects.cpm_avs.training.set_prediction.assignment import Assignment, Matching
from projects.cpm_avs.training.set_prediction.mask_losses import dice_loss, focal_loss
from projects.cpm_avs.training.set_prediction.points import UncertainPoints
from projects.cpm_avs.training.set_prediction.set_criterion import SetCriterion
from projects.cpm_avs.training.set_prediction.targets import build_targets

LN4 = math.log(4)  # the logit of 0.8


@pytest.mark.parametrize(
    "logits, targets, expected",
    [
        # -alpha (1 - p)^2 ln p for positives, -(1 - alpha) p^2 ln(1 - p) for negatives.
        ([0.0], [1.0], 0.25 * 0.25 * math.log(2)),
        ([0.0], [0.0], 0.75 * 0.25 * math.log(2)),
        ([LN4], [1.0], -0.25 * 0.04 * math.log(0.8)),
        ([LN4], [0.0], -0.75 * 0.64 * math.log(0.2)),
        ([LN4, 0.0], [1.0, 0.0], (-0.01 * math.log(0.8) + 0.1875 * math.log(2)) / 2),
        ([-200.0, 200.0], [0.0, 1.0], 0.0),
        ([200.0], [0.0], 150.0),
        # A target between two pixels: both weights and both misses are means of the two.
        ([LN4], [0.5], -0.5 * 0.25 * (math.log(0.8) + math.log(0.2)) / 2),
    ],
)
def test_focal_loss_hand_numbers(logits, targets, expected):
    found = focal_loss(*map(torch.tensor, ([logits], [targets])), torch.ones(1, len(logits)))
    assert found.item() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    "logits, targets, expected",
    [
        ([0.0, 0.0], [1.0, 0.0], 1 - (2 * 0.5 + 1) / (1 + 1 + 1)),
        ([LN4, 0.0, LN4], [1.0, 0.0, 1.0], 1 - (2 * 1.6 + 1) / (2.1 + 2 + 1)),
        ([200.0, -200.0], [1.0, 0.0], 0.0),
        ([200.0, -200.0], [0.0, 1.0], 1 - 1 / 3),
        ([-200.0, -200.0], [0.0, 0.0], 0.0),
    ],
)
def test_dice_loss_hand_numbers(logits, targets, expected):
    found = dice_loss(*map(torch.tensor, ([logits], [targets])), torch.ones(1, len(logits)))
    assert found.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("loss", [focal_loss, dice_loss])
def test_points_that_do_not_count_are_as_if_absent(loss):
    logits, targets = torch.randn(3, 6), (torch.rand(3, 6) > 0.5).float()
    valid = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 0.0]).repeat(3, 1)
    kept = valid[0].bool()
    alone = loss(logits[:, kept], targets[:, kept], torch.ones(3, 3))
    torch.testing.assert_close(loss(logits, targets, valid), alone)
    assert (loss(logits, targets, torch.zeros(3, 6)) == 0).all()


@pytest.mark.parametrize("loss", [focal_loss, dice_loss])
def test_mask_losses_gradients_in_float64(loss):
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, 5, generator=generator, dtype=torch.float64)
    targets = torch.rand(2, 5, generator=generator, dtype=torch.float64)
    valid = torch.tensor([[1.0, 1, 1, 0, 1], [1, 0, 1, 1, 1]], dtype=torch.float64)
    found = loss(logits, targets, valid)
    assert found.dtype == torch.float64
    assert torch.autograd.gradcheck(lambda x: loss(x, targets, valid), logits.requires_grad_())


def test_half_precision_losses_are_computed_in_float32():
    logits, targets = 3 * torch.randn(2, 7).half(), torch.rand(2, 7).round()
    for loss in (focal_loss, dice_loss):
        found = loss(logits, targets.half(), torch.ones(2, 7))
        assert found.dtype == torch.float32
        assert torch.equal(found, loss(logits.float(), targets, torch.ones(2, 7)))


def cross_entropy(logits: Tensor, labels: Tensor, no_object: float) -> float:
    """Weighted mean over queries, one query at a time."""
    total = weights = 0.0
    for row, label in zip(logits.flatten(0, -2), labels.flatten().tolist(), strict=True):
        weight = no_object if label == CLASSES else 1.0
        total -= weight * row.log_softmax(-1)[label].item()
        weights += weight
    return total / weights


def test_cross_entropy_hand_numbers_of_every_layer():
    output, targets = outputs(), targets_of()
    labels = torch.randint(0, CLASSES + 1, output.cls_logits.shape[:3])
    labels[0] = CLASSES  # a layer that finds nothing
    losses = of_one(criterion(), output, labels, none(), targets)
    assert losses["d0.loss_cls"].item() == pytest.approx(
        2 * cross_entropy(output.cls_logits[0], labels[0], 0.1), rel=1e-5
    )
    assert losses["loss_cls"].item() == pytest.approx(
        2 * cross_entropy(output.cls_logits[1], labels[1], 0.1), rel=1e-5
    )


def test_queries_that_do_not_exist_are_not_classified():
    output, targets = outputs(), targets_of()
    labels = torch.randint(0, CLASSES, output.cls_logits.shape[:3])
    counted = torch.tensor([[1, 1, 0, 0, 0], [0] * 5, [1, 0, 0, 0, 0]]).bool()
    found = of_one(criterion(), output, labels, none(), targets, counted=counted)["loss_cls"]
    expected = cross_entropy(output.cls_logits[1][counted], labels[1][counted], 0.1)
    assert found.item() == pytest.approx(2 * expected, rel=1e-5)
    nobody = of_one(criterion(), output, labels, none(), targets, counted=counted & False)
    assert nobody["loss_cls"] == 0


def test_losses_of_two_parts_are_those_of_each_alone():
    """Queries 0 to 2 are matched, 3 and 4 are told what to draw; the last one does not exist."""
    output, targets = outputs(), targets_of()
    loss = criterion(points=dict(type="grid"))
    first, second = output.part(slice(3)), output.part(slice(3, 5))
    matching = loss.match(first, targets)
    labels = matching.assigned_labels(targets.labels, first.cls_logits.shape[:3], CLASSES)
    parts = [Assignment(labels, matching, torch.ones(3, 3, dtype=torch.bool))]
    told = Matching(*torch.tensor([[0, 0, 1, 1], [0, 2, 0, 6], [1, 1, 0, 4], [1, 2, 0, 7]]).T)
    counted = torch.tensor([[True, False], [True, True], [True, False]])
    parts.append(Assignment(torch.full((2, 3, 2), 1), told, counted, weight=0.5))

    together = loss(output, targets, parts)
    alone = [
        of_one(loss, own, part.labels, part.matching, targets, part.counted)
        for own, part in zip((first, second), parts, strict=True)
    ]
    for name, value in alone[0].items():
        torch.testing.assert_close(together[0][name], value)
        torch.testing.assert_close(together[1][name], 0.5 * alone[1][name])
        assert value > 0 and alone[1][name] > 0
    # Queries that no part has are not looked at.
    (fewer,) = loss(output, targets, parts[:1])
    for name, value in alone[0].items():
        torch.testing.assert_close(fewer[name], value)


def test_mask_losses_of_every_layer_are_means_over_its_matches():
    output, targets = outputs(), blocky(targets_of())
    loss = criterion()
    matching = loss.match(output, targets)
    labels = matching.assigned_labels(targets.labels, output.cls_logits.shape[:3], CLASSES)
    losses = of_one(loss, output, labels, matching, targets)
    for layer, prefix in enumerate(["d0.", ""]):
        focal, dice = [], []
        for at, image, query, segment in zip(*vars(matching).values(), strict=True):
            if at == layer:
                # The points are the pixels of the 4 x 4 masks, doubled in the label map.
                logits = output.masks(layer)[image, query].flatten()[None]
                truth = targets.masks[segment][::2, ::2].flatten()[None].float()
                valid = targets.valid[image][::2, ::2].flatten()[None].float()
                focal.append(focal_loss(logits, truth, valid))
                dice.append(dice_loss(logits, truth, valid))
        assert len(focal) == len(targets.labels)
        for name, values, weight in (("focal", focal, 20), ("dice", dice, 5)):
            expected = weight * torch.cat(values).mean()
            torch.testing.assert_close(losses[f"{prefix}loss_{name}"], expected)


@pytest.mark.parametrize("points", [dict(type="grid"), dict(type="uncertain")])
def test_pixels_without_a_label_do_not_count(points):
    # The right half is ignored; whatever the masks say there changes no loss.
    rows = [[0, 0, 1, 1] + [255] * 4] * 8
    targets = build_targets([sample(rows)], CLASSES)
    output = outputs(images=1)
    loss = criterion(points=points)
    labels = torch.full(output.cls_logits.shape[:3], CLASSES)
    pairs = torch.tensor([[0, 0, 0, 0], [0, 0, 1, 1], [1, 0, 0, 0], [1, 0, 1, 1]]).T
    found = []
    for fill in (0.0, 9.0):
        # A margin of one pixel of the 4 x 4 masks reaches half a pixel over the edge.
        masks = all_masks(output)
        masks[..., 3:] = fill
        torch.manual_seed(0)
        changed = drawing(output.embeddings, output.cls_logits, masks)
        found.append(of_one(loss, changed, labels, Matching(*pairs), targets))
    for name in ("loss_focal", "d0.loss_dice"):
        torch.testing.assert_close(found[0][name], found[1][name])
        assert found[0][name] > 0


def test_points_beside_a_pixel_without_a_label_do_not_count():
    # All that is labelled is class 1, and found: points that blend in what is not would see a miss.
    targets = build_targets([sample([[1] * 4 + [255] * 4] * 8)], CLASSES)
    output = outputs(images=1)
    masks = torch.full_like(all_masks(output), 30.0)
    loss = criterion(points=dict(type="uncertain", num_points=500))
    labels = torch.full(output.cls_logits.shape[:3], CLASSES)
    pairs = Matching(*torch.tensor([[0, 0, 0, 0], [1, 0, 0, 0]]).T)
    losses = of_one(
        loss, drawing(output.embeddings, output.cls_logits, masks), labels, pairs, targets
    )
    assert losses["loss_focal"] < 1e-6 and losses["loss_dice"] < 1e-4


def test_all_background_still_teaches_the_classes():
    output = outputs(images=1)
    targets = build_targets([sample([[0] * 8] * 8)], CLASSES)
    loss = criterion()
    matching = loss.match(output, targets)
    labels = matching.assigned_labels(targets.labels, output.cls_logits.shape[:3], CLASSES)
    losses = of_one(loss, output, labels, matching, targets)
    # Background is a segment like any other: one query draws it, the rest are no-object.
    assert sorted(labels[-1, 0].tolist()) == [0] + [CLASSES] * 4
    assert all(value > 0 for value in losses.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_no_segment_at_all_gives_zero_masks_losses_and_a_live_graph(dtype):
    output = outputs(images=1)
    # Sums of such masks overflow in half precision.
    masks, features = (
        (1e3 * x).to(dtype).requires_grad_() for x in (output.mask_embeddings, output.mask_features)
    )
    logits = output.cls_logits.clone().requires_grad_()
    targets = build_targets([sample([[255] * 8] * 8)], CLASSES)
    loss = criterion()
    output = DecoderOutput(output.embeddings, logits, masks, features)
    matching = loss.match(output, targets)
    labels = matching.assigned_labels(targets.labels, logits.shape[:3], CLASSES)
    losses = of_one(loss, output, labels, matching, targets)
    assert losses["loss_cls"] > 0
    assert all(losses[f"{d}loss_{n}"] == 0 for d in ("", "d0.") for n in ("focal", "dice"))
    sum(losses.values()).backward()
    assert (masks.grad == 0).all() and (features.grad == 0).all()
    assert logits.grad.abs().sum() > 0


def test_weights_scale_their_losses_and_the_costs():
    output, targets = outputs(), targets_of()
    plain = criterion(cls_weight=1.0, focal_weight=1.0, dice_weight=1.0)
    heavy = criterion(cls_weight=2.0, focal_weight=3.0, dice_weight=4.0)
    matching = plain.match(output, targets)
    labels = matching.assigned_labels(targets.labels, output.cls_logits.shape[:3], CLASSES)
    a, b = (of_one(loss, output, labels, matching, targets) for loss in (plain, heavy))
    for name, factor in dict(cls=2.0, focal=3.0, dice=4.0).items():
        torch.testing.assert_close(b[f"d0.loss_{name}"], factor * a[f"d0.loss_{name}"])
    assert vars(heavy.matcher) == dict(cls_weight=2.0, focal_weight=3.0, dice_weight=4.0)


def test_losses_are_float32_under_autocast():
    output, targets = outputs(), targets_of()
    loss = criterion()
    matching = loss.match(output, targets)
    labels = matching.assigned_labels(targets.labels, output.cls_logits.shape[:3], CLASSES)
    expected = of_one(loss, output, labels, matching, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = of_one(loss, output, labels, matching, targets)
    for name, value in found.items():
        assert value.dtype == torch.float32 and torch.equal(value, expected[name])


def test_points_lie_inside_and_most_of_them_where_a_mask_is_unsure():
    torch.manual_seed(0)
    sampler = UncertainPoints(num_points=200, oversample_ratio=4.0, importance_sample_ratio=0.75)
    masks = torch.linspace(10, -10, 64).expand(2, 1, 16, 64)  # unsure in the middle
    everywhere = torch.ones_like(masks, dtype=torch.bool)
    points = sampler.near_borders(masks, everywhere)
    assert points.shape == (2, 200, 2) and points.min() >= 0 and points.max() <= 1
    near = ((points[..., 0] - 0.5).abs() < 0.12).float().mean()
    assert 0.75 < near < 0.95  # the least sure 150 of 800, and a quarter at random

    # Nothing is known of the lower half, however unsure the mask is there.
    known = everywhere.clone()
    known[:, :, 8:] = False
    below = (sampler.near_borders(masks, known)[..., 1] > 0.5).float().mean()
    assert 0.05 < below < 0.2  # half of the quarter at random


def test_points_are_mmdetections_in_another_order():
    masks = 3 * torch.randn(10, 1, 12, 20)  # more than are looked at together
    sampler = UncertainPoints(num_points=64)
    torch.manual_seed(0)
    found = sampler.near_borders(masks, torch.ones_like(masks, dtype=torch.bool))
    torch.manual_seed(0)
    expected = get_uncertain_point_coords_with_randomness(masks, None, 64, 3.0, 0.75)
    for own, theirs in zip(found, expected, strict=True):
        assert torch.equal(own[48:], theirs[48:])
        assert set(map(tuple, own[:48].tolist())) == set(map(tuple, theirs[:48].tolist()))


def test_unknown_arguments_are_refused():
    with pytest.raises(TypeError):
        criterion(points=dict(type="grid", size=4))
    with pytest.raises(TypeError):
        SetCriterion(num_classes=3, mask_weight=1.0)
