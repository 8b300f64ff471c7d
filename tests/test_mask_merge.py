"""Both merge rules against nested loops, and the way back to the original size."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from projects.cpm_avs.models.mask_merge import MERGE_RULES, merge_max, merge_sum, resizer

CLASSES, QUERIES = 4, 6


def predictions(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        2 * torch.randn(QUERIES, CLASSES + 1, generator=generator),
        3 * torch.randn(QUERIES, 5, 4, generator=generator),
    )


def unchanged(masks: Tensor) -> Tensor:
    return masks


@pytest.mark.parametrize("seed", range(5))
def test_max_equals_the_papers_rule_pixel_by_pixel(seed):
    cls_logits, mask_logits = predictions(seed)
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
    scores = MERGE_RULES[rule](cls_logits, mask_logits, resizer((8, 8), (8, 8), (6, 7)))
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
