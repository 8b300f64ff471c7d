"""The matching of all layers and images against brute force, and its costs by hand."""

import itertools
import math

import numpy as np
import pytest
import torch
from segments import (
    CLASSES,
    IMAGES,
    LAYERS,
    QUERIES,
    all_masks,
    blocky,
    drawing,
    outputs,
    sample,
    targets_of,
)

from projects.cpm_avs.structures import DecoderOutput
from projects.cpm_avs.training.set_prediction.assignment import Matching
from projects.cpm_avs.training.set_prediction.matched_masks import matched_masks
from projects.cpm_avs.training.set_prediction.matcher import HungarianMatcher, mask_costs
from projects.cpm_avs.training.set_prediction.points import (
    AllCells,
    Compared,
    PointSampler,
    UncertainPoints,
    sample_points,
)
from projects.cpm_avs.training.set_prediction.targets import SegmentTargets, build_targets

WEIGHTS = dict(cls_weight=2.0, focal_weight=20.0, dice_weight=5.0)


def matched(output: DecoderOutput, targets: SegmentTargets, sampler: PointSampler) -> Matching:
    compared = sampler.for_matching(output.mask_features, targets)
    return HungarianMatcher(**WEIGHTS)(output, targets, compared)


def one_image(output: DecoderOutput, targets: SegmentTargets, image: int, layer: int):
    """A batch of one image and one layer."""
    own = targets.image_index == image
    return (
        DecoderOutput(
            output.embeddings[layer, image][None, None],
            output.cls_logits[layer, image][None, None],
            output.mask_embeddings[layer, image][None, None],
            output.mask_features[image][None],
        ),
        SegmentTargets(
            targets.labels[own],
            torch.zeros(int(own.sum()), dtype=torch.long),
            targets.masks[own],
            targets.label_map[image][None],
            targets.sounding[image][None],
        ),
    )


def test_cost_pieces_hand_numbers():
    # Query 0 says 0.8 everywhere (logit ln 4), query 1 says 0.5; the segment has points 1, 0, 1
    # and one without a label.
    logits = torch.tensor([[math.log(4)] * 4, [0.0] * 4])
    segment = torch.tensor([[1.0, 0.0, 1.0, 1.0]])
    valid = torch.tensor([1.0, 1.0, 1.0, 0.0])
    focal, dice = mask_costs(logits, segment, valid)

    def hand_focal(p: float) -> float:
        positive = -0.25 * (1 - p) ** 2 * math.log(p)
        negative = -0.75 * p**2 * math.log(1 - p)
        return (2 * positive + negative) / 3

    def hand_dice(p: float) -> float:
        return 1 - (2 * (2 * p) + 1) / (3 * p + 2 + 1)

    assert focal[:, 0].tolist() == pytest.approx([hand_focal(0.8), hand_focal(0.5)])
    assert dice[:, 0].tolist() == pytest.approx([hand_dice(0.8), hand_dice(0.5)])


def test_costs_stay_finite_for_sure_masks():
    logits = torch.tensor([[1e4, -1e4, 1e4, -1e4]])
    focal, dice = mask_costs(logits, torch.tensor([[1.0, 0.0, 1.0, 0.0]]), torch.ones(4))
    assert focal.item() == 0 and dice.item() == pytest.approx(0)
    focal, dice = mask_costs(logits, torch.tensor([[0.0, 1.0, 0.0, 1.0]]), torch.ones(4))
    assert focal.isfinite() and focal > 100 and dice.item() == pytest.approx(1 - 1 / 5)


def brute_cost(output: DecoderOutput, targets: SegmentTargets) -> np.ndarray:
    """(Q, S) of one image and layer, one pair at a time; the masks' grid is the points' grid."""
    probabilities = output.cls_logits[0, 0].softmax(-1)
    labelled = targets.valid[0][::2, ::2]
    cost = np.zeros((QUERIES, len(targets.labels)))
    for query, segment in np.ndindex(cost.shape):
        logits = output.masks(0)[0, query][labelled].double()
        truth = targets.masks[segment][::2, ::2][labelled].double()
        p = logits.sigmoid()
        focal = -(
            0.25 * (1 - p) ** 2 * p.log() * truth + 0.75 * p**2 * (1 - p).log() * (1 - truth)
        ).mean()
        dice = 1 - (2 * (p * truth).sum() + 1) / (p.sum() + truth.sum() + 1)
        cls = -probabilities[query, targets.labels[segment]]
        cost[query, segment] = 2 * cls + 20 * focal + 5 * dice
    return cost


def test_matching_is_the_cheapest_of_all_permutations():
    output, targets = outputs(), blocky(targets_of())
    matching = matched(output, targets, AllCells())
    pairs = set(zip(*(x.tolist() for x in vars(matching).values()), strict=True))
    assert len(pairs) == len(matching.layer) == LAYERS * sum(targets.counts)

    starts = np.cumsum([0, *targets.counts])
    compared = AllCells().for_matching(output.mask_features, targets)
    costs = HungarianMatcher(**WEIGHTS)._costs(output, targets, compared).numpy()
    for layer, image in itertools.product(range(LAYERS), range(IMAGES)):
        cost = brute_cost(*one_image(output, targets, image, layer))
        segments = range(cost.shape[1])
        own = slice(starts[image], starts[image + 1])
        np.testing.assert_allclose(costs[layer, :, own], cost, rtol=1e-4)
        best = min(
            itertools.permutations(range(QUERIES), len(segments)),
            key=lambda queries: sum(cost[queries[s], s] for s in segments),
        )
        expected = {(layer, image, best[s], int(starts[image]) + s) for s in segments}
        assert expected == {pair for pair in pairs if pair[:2] == (layer, image)}
    assert matching.layer.tolist() == sorted(matching.layer.tolist())


def test_a_batch_is_matched_as_its_images_are_alone():
    output, targets = outputs(1), targets_of(1)
    compared = UncertainPoints(num_points=9).for_matching(output.mask_features, targets)
    matcher = HungarianMatcher(**WEIGHTS)
    matching = matcher(output, targets, compared)
    starts = np.cumsum([0, *targets.counts])
    for layer, image in itertools.product(range(LAYERS), range(IMAGES)):
        part = Compared(
            compared.values[image][None],
            compared.truth[targets.image_index == image],
            compared.known[image][None],
        )
        alone = matcher(*one_image(output, targets, image, layer), part)
        own = (matching.layer == layer) & (matching.image == image)
        assert torch.equal(matching.query[own], alone.query)
        assert torch.equal(matching.segment[own] - int(starts[image]), alone.segment)


def test_pixels_without_a_label_have_no_say():
    output, targets = outputs(), blocky(targets_of())
    compared = AllCells().for_matching(output.mask_features, targets)
    matcher = HungarianMatcher(**WEIGHTS)
    ignored = ~targets.valid[2][::2, ::2]
    assert ignored.any()
    loud = all_masks(output)
    loud[:, 2, :, ignored] = 50.0 * torch.randn(LAYERS, QUERIES, int(ignored.sum()))
    changed = drawing(output.embeddings, output.cls_logits, loud)
    own = targets.image_index == 2
    costs, others = (
        matcher._costs(predicted, targets, compared)[..., own] for predicted in (output, changed)
    )
    torch.testing.assert_close(costs, others)


def test_images_without_segments():
    maps = [[[255] * 8] * 8, [[0] * 8] * 8]
    targets = build_targets([sample(rows) for rows in maps], CLASSES)
    matching = matched(outputs(images=2), targets, UncertainPoints(num_points=9))
    assert matching.image.tolist() == [1] * LAYERS and matching.segment.tolist() == [0] * LAYERS
    targets = build_targets([sample(maps[0])], CLASSES)
    matching = matched(outputs(images=1), targets, UncertainPoints(num_points=9))
    assert all(len(column) == 0 for column in vars(matching).values())
    labels = matching.assigned_labels(targets.labels, (LAYERS, 1, QUERIES), CLASSES)
    assert (labels == CLASSES).all()


def test_more_segments_than_queries_leave_the_dearest_out():
    output = outputs(images=1)
    few = DecoderOutput(
        output.embeddings[:, :, :2],
        output.cls_logits[:, :, :2],
        output.mask_embeddings[:, :, :2],
        output.mask_features,
    )
    own = one_image(output, targets_of(), 0, 0)[1]
    matching = matched(few, own, UncertainPoints(num_points=9))
    assert len(own.labels) == CLASSES and len(matching.query) == 2 * LAYERS


def test_assigned_labels():
    output, targets = outputs(), targets_of()
    matching = matched(output, targets, AllCells())
    labels = matching.assigned_labels(targets.labels, (LAYERS, IMAGES, QUERIES), CLASSES)
    for layer, image in itertools.product(range(LAYERS), range(IMAGES)):
        own = targets.labels[targets.image_index == image].tolist()
        expected = sorted(own + [CLASSES] * (QUERIES - len(own)))
        assert sorted(labels[layer, image].tolist()) == expected


def test_not_a_number_does_not_stop_the_matching():
    # The loss that follows is not a number either, and its check names the sample.
    output, targets = outputs(), targets_of()
    output.cls_logits[0, 0, 0] = torch.nan
    output.mask_embeddings[1, 1] = torch.inf
    matching = matched(output, targets, UncertainPoints(num_points=9))
    assert len(matching.layer) == LAYERS * sum(targets.counts)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_costs_are_float32_under_autocast(dtype):
    output, targets = outputs(), targets_of()
    names = ("embeddings", "cls_logits", "mask_embeddings", "mask_features")
    half = DecoderOutput(**{name: getattr(output, name).to(dtype) for name in names})
    back = DecoderOutput(**{name: getattr(half, name).float() for name in names})
    compared = UncertainPoints(num_points=9).for_matching(half.mask_features, targets)
    seen = []

    class Spy(HungarianMatcher):
        def _costs(self, *args):
            seen.append(super()._costs(*args))
            return seen[-1]

    matcher = Spy(**WEIGHTS)
    with torch.autocast("cpu", dtype=dtype):
        matcher(half, targets, compared)
    matcher(back, targets, compared)
    assert seen[0].dtype == torch.float32
    assert torch.equal(*seen)


def test_only_matched_masks_are_drawn_and_gone_backwards_through():
    """The masks, and gradients, of drawing all and choosing."""
    generator = torch.Generator().manual_seed(0)
    targets = targets_of()
    matching = matched(outputs(), targets, AllCells())
    shapes = [(LAYERS, IMAGES, QUERIES, n) for n in (8, CLASSES + 1, 6)] + [(IMAGES, 6, 4, 5)]
    own, other = (
        DecoderOutput(*(torch.randn(s, generator=g).requires_grad_() for s in shapes))
        for g in (generator, torch.Generator().manual_seed(0))
    )
    found = matched_masks(own, matching, targets, matching.layer, LAYERS)
    expected = all_masks(other)[matching.layer, matching.image, matching.query]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    weights = torch.randn(found.shape, generator=generator)
    for masks in (found, expected):
        (masks * weights).sum().backward()
    for name in ("mask_embeddings", "mask_features"):
        one, two = getattr(own, name).grad, getattr(other, name).grad
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


def test_costs_of_features_at_points_are_those_of_masks_at_points():
    """Mask2Former's order: all masks are drawn, and each is read at the points."""
    output, targets = outputs(), targets_of()
    torch.manual_seed(0)
    compared = UncertainPoints(num_points=9).for_matching(output.mask_features, targets)
    found = HungarianMatcher(**WEIGHTS)._costs(output, targets, compared)
    torch.manual_seed(0)
    points = torch.rand(IMAGES, 9, 2)
    for layer, image in itertools.product(range(LAYERS), range(IMAGES)):
        own = targets.image_index == image
        here = points[image][None]
        segments = sample_points(targets.masks[own][None].float(), here)
        valid = sample_points(targets.valid[image][None, None].float(), here)[0] > 0.999
        logits = sample_points(output.masks(layer)[image][None], here)
        focal, dice = mask_costs(logits[0], segments[0], valid[0].float())
        cls = -output.cls_logits[layer, image].softmax(-1)[:, targets.labels[own]]
        expected = 2 * cls + 20 * focal + 5 * dice
        torch.testing.assert_close(found[layer][:, own], expected, rtol=1e-5, atol=1e-5)


def test_masks_with_fewer_cells_than_points_are_matched_at_all_of_them():
    output, targets = outputs(), targets_of()
    for found, expected in zip(
        vars(UncertainPoints(num_points=16).for_matching(output.mask_features, targets)).values(),
        vars(AllCells().for_matching(output.mask_features, targets)).values(),
        strict=True,
    ):
        assert torch.equal(found, expected)


def test_cells_are_read_at_their_centres():
    targets = targets_of()
    features = outputs().mask_features
    compared = AllCells().for_matching(features, targets)
    ticks = (torch.arange(4) + 0.5) / 4
    centres = torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), -1).flatten(0, 1)
    read = sample_points(targets.masks[:, None].float(), centres.expand(len(targets.masks), -1, -1))
    torch.testing.assert_close(compared.truth, read.squeeze(1))
    known = sample_points(targets.valid[:, None].float(), centres.expand(IMAGES, -1, -1)).squeeze(1)
    assert torch.equal(compared.known, (known > 0.999).float()) and not compared.known.all()
    torch.testing.assert_close(compared.values, sample_points(features, centres.expand(3, -1, -1)))


def test_segments_are_read_where_each_of_their_masks_is_unsure():
    """Of a copy of the segment for each mask, as they were before one reading served them all."""
    targets = targets_of()
    everybody = matched(outputs(), targets, AllCells())
    # Some places stay empty: a layer has not matched everything.
    chosen = torch.rand(len(everybody.layer), generator=torch.Generator().manual_seed(0)) > 0.3
    matching = Matching(*(column[chosen] for column in vars(everybody).values()))
    assert 0 < len(matching.layer) < len(everybody.layer)
    masks = torch.randn(len(matching.layer), 4, 4)
    seen = []

    class Spy(UncertainPoints):
        def near_borders(self, *args):
            seen.append(super().near_borders(*args))
            return seen[-1]

    sampler = Spy(num_points=16)
    compared = sampler.for_loss(masks, targets, matching, matching.layer, LAYERS)
    copies = torch.stack([targets.masks[matching.segment], targets.valid[matching.image]], 1)
    truth, known = sample_points(copies.float(), seen[0]).unbind(1)
    assert torch.equal(compared.truth, truth) and len(set(truth.sum(1).tolist())) > 2
    assert torch.equal(compared.known, (known > 0.999).float()) and not compared.known.all()
    assert torch.equal(compared.values, sample_points(masks.unsqueeze(1), seen[0]).squeeze(1))
