"""Both merge rules against nested loops, and the way back to the original size."""

import pytest
import torch
import torch.nn.functional as F
from query_outputs import CLASSES, QUERIES, predictions, unchanged
from torch import Tensor

from projects.cpm_avs.evaluation.mask_functional import foreground_probability
from projects.cpm_avs.models.mask_merge import (
    MERGE_RULES,
    best_of_max,
    best_of_max_static,
    merge_max,
    merge_sum,
)
from projects.cpm_avs.models.resizing import resizer


@pytest.mark.parametrize("seed", range(5))
def test_max_equals_the_papers_rule_pixel_by_pixel(seed):
    cls_logits, mask_logits = predictions(seed)
    cls_logits[0, 0] = 4.0  # background, which the paper's rule needs
    scores = merge_max(cls_logits, mask_logits, unchanged)
    probabilities, masks = cls_logits.softmax(-1), mask_logits.sigmoid()
    for y in range(5):
        for x in range(4):
            best, label = 0.0, 0  # a pixel that nobody claims is background
            for query in range(QUERIES):
                own = int(probabilities[query].argmax())
                value = float(probabilities[query, own] * masks[query, y, x])
                if own != CLASSES and value > best:
                    best, label = value, own
            assert int(scores[:, y, x].argmax()) == label
            assert float(scores[:, y, x].max()) == pytest.approx(best)
    assert scores.min() >= 0 and scores.max() <= 1


@pytest.mark.parametrize("seed", range(5))
def test_without_a_background_query_a_pixel_goes_to_the_best_claim_or_to_background(seed):
    cls_logits, mask_logits = predictions(seed)
    cls_logits[:, 0] = -9.0
    scores = merge_max(cls_logits, mask_logits, unchanged)
    probabilities, masks = cls_logits.softmax(-1), mask_logits.sigmoid()
    for y in range(5):
        for x in range(4):
            claims = [
                (float(p.max() * mask[y, x]), float(p.max()), int(p.argmax()))
                for p, mask in zip(probabilities, masks, strict=True)
                if p.argmax() != CLASSES
            ]
            best, own, label = max(claims)
            assert float(scores[0, y, x]) == pytest.approx(own - best, abs=1e-6)
            assert float(scores[label, y, x]) == pytest.approx(best)
            assert int(scores[:, y, x].argmax()) == (label if 2 * best > own else 0)


def logit(probabilities: list) -> Tensor:
    return torch.tensor(probabilities).logit()


def test_one_object_query_does_not_take_the_whole_picture_hand_numbers():
    """Class 2 with 0.8; its mask says 0.9, 0.6, 0.4 and 0.01."""
    cls_logits = torch.tensor([[0.05, 0.05, 0.8, 0.05, 0.05]]).log()
    scores = merge_max(cls_logits, logit([[[0.9, 0.6, 0.4, 0.01]]]), unchanged)
    assert scores[2, 0].tolist() == pytest.approx([0.72, 0.48, 0.32, 0.008])
    assert scores[0, 0].tolist() == pytest.approx([0.08, 0.32, 0.48, 0.792])
    assert not scores[[1, 3]].any()
    assert scores.argmax(0)[0].tolist() == [2, 2, 0, 0]


def test_a_query_that_is_sure_elsewhere_takes_nothing_from_another_hand_numbers():
    """Classes 1 (0.9) and 2 (0.4, beside 0.3 for no-object): each mask holds one pixel of three."""
    rows = [[0.02, 0.9, 0.02, 0.02, 0.04], [0.1, 0.1, 0.4, 0.1, 0.3]]
    masks = [[[0.98, 0.01, 0.01]], [[0.02, 0.95, 0.02]]]
    scores = merge_max(torch.tensor(rows).log(), logit(masks), unchanged)
    assert scores[1, 0].tolist() == pytest.approx([0.882, 0.009, 0.009], abs=1e-6)
    assert scores[2, 0].tolist() == pytest.approx([0.008, 0.38, 0.008], abs=1e-6)
    # p (1 - m) of the best claim: the first query's, the second's, the first's.
    assert scores[0, 0].tolist() == pytest.approx([0.018, 0.02, 0.891], abs=1e-6)
    assert scores.argmax(0)[0].tolist() == [1, 2, 0]


def test_the_objects_share_of_two_classes_is_the_mask_itself():
    """S4 and MS3: one query says "sounding" with 0.7, none says background."""
    masks = torch.tensor([[[0.95, 0.5, 0.2, 1e-4]]])
    cls_logits = torch.tensor([[0.2, 0.7, 0.1]]).log()
    scores = merge_max(cls_logits, masks.logit(), unchanged)
    torch.testing.assert_close(foreground_probability(scores), masks[0])
    # With a background query it is p1 m1 / (p0 m0 + p1 m1), as before.
    both = torch.tensor([[0.2, 0.7, 0.1], [0.6, 0.3, 0.1]]).log()
    scores = merge_max(both, torch.cat([masks, 1 - masks]).logit(), unchanged)
    expected = 0.7 * masks / (0.7 * masks + 0.6 * (1 - masks))
    torch.testing.assert_close(foreground_probability(scores), expected[0])


@pytest.mark.parametrize("seed", range(5))
def test_sum_equals_mask2formers_rule_pixel_by_pixel(seed):
    cls_logits, mask_logits = predictions(seed)
    scores = merge_sum(cls_logits, mask_logits, unchanged)
    probabilities, masks = cls_logits.softmax(-1), mask_logits.sigmoid()
    for label in range(CLASSES):
        for y in range(5):
            for x in range(4):
                expected = sum(
                    float(probabilities[query, label] * masks[query, y, x])
                    for query in range(QUERIES)
                )
                assert float(scores[label, y, x]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("rule", sorted(MERGE_RULES))
def test_when_no_query_names_an_object_all_is_background(rule):
    cls_logits, mask_logits = predictions(0)
    cls_logits[:, -1] = 200.0
    scores = MERGE_RULES[rule].maps(cls_logits, mask_logits, resizer((8, 8), (8, 8), (6, 7)))
    assert scores.shape == (CLASSES, 6, 7) and not scores.any()
    assert not scores.argmax(0).any()


def test_resizing_upsamples_cuts_the_padding_off_and_goes_back():
    masks = torch.randn(3, 4, 4)
    found = resizer((16, 16), (12, 10), (30, 20))(masks)
    large = F.interpolate(masks[None], (16, 16), mode="bilinear", align_corners=False)
    expected = F.interpolate(large[..., :12, :10], (30, 20), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found, expected[0])


def test_resizing_keeps_an_original_that_fits_and_counts_in_float32():
    masks = torch.randn(3, 4, 4).half()
    found = resizer((4, 4), (4, 4), (4, 4))(masks)
    assert found.dtype == torch.float32 and torch.equal(found, masks.float())


# What each of six queries names; 0 is background, -1 no-object.
NAMED = {
    "nothing": [-1] * 6,
    "everything, background last": [3, 2, 1, 3, 1, 0],
    "no background": [3, -1, 1, 2, 1, -1],
    "background alone": [0, -1, 0, -1, -1, -1],
    "one query": [-1, -1, 2, -1, -1, -1],
}


@pytest.mark.parametrize("named", NAMED.values(), ids=NAMED.keys())
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("best_of", [best_of_max, best_of_max_static])
def test_best_of_max_is_the_argmax_over_all_classes(best_of, named, ties):
    """With ties all queries are as sure, and masks have four values: the first class wins."""
    generator = torch.Generator().manual_seed(0)
    masks = 3 * torch.randn(QUERIES, 8, 8, generator=generator)
    labels = torch.tensor(named) % (CLASSES + 1)
    logits = 4.0 * F.one_hot(labels, CLASSES + 1)
    if ties:
        masks = masks.div(4).round()
        masks[:, 0] = -200.0  # a sigmoid of exactly 0: nobody claims these
    else:
        logits = logits + torch.rand(logits.shape, generator=generator)
    resize = unchanged if ties else resizer((18, 16), (18, 14), (20, 15))
    expected = merge_max(logits, masks, resize)
    best, classes = best_of(logits, masks, resize)
    # Not to the bit: a sigmoid's last digit depends on where in memory its number lies.
    torch.testing.assert_close(best[0], expected.amax(0))
    assert torch.equal(classes[0], expected.argmax(0)) and classes.dtype == torch.long
    if ties and len(set(named)) > 2:  # the test means something
        assert ((expected == expected.amax(0)).sum(0) > 1).any()


@pytest.mark.parametrize("rule", MERGE_RULES.values(), ids=MERGE_RULES.keys())
def test_the_forms_of_a_rule_agree(rule):
    """On many random predictions, in a third of which no query names background."""
    for seed in range(200):
        cls_logits, mask_logits = predictions(seed)
        if seed % 3 == 0:
            cls_logits[:, 0] = -9.0
        expected = rule.maps(cls_logits, mask_logits, unchanged)
        for best_of in (rule.best, rule.best_static):
            best, classes = best_of(cls_logits, mask_logits, unchanged)
            torch.testing.assert_close(best[0], expected.amax(0))
            assert torch.equal(classes[0], expected.argmax(0))
        torch.testing.assert_close(rule.static(cls_logits, mask_logits, unchanged), expected)
