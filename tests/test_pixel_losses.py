"""Cross-entropy of pixels against torch's own, and by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from projects.cpm_avs.training.baselines.pixel_losses import pixel_cross_entropy


def test_pixels_without_a_label_do_not_count() -> None:
    """(ln 2 + ln 4) / 2: classes as likely as one another, and odds of 3 to 1 against the label."""
    logits = torch.tensor([[[[0.0, math.log(3), 50.0]], [[0.0, 0.0, 0.0]]]])
    found = pixel_cross_entropy(logits, torch.tensor([[[0, 1, 255]]]))
    assert float(found) == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_one_logit_is_the_objects_against_the_background() -> None:
    logits = 3 * torch.randn(2, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    truth = (logits[:, 0] > 1).long()
    expected = F.binary_cross_entropy_with_logits(logits[:, 0], truth.float())
    torch.testing.assert_close(pixel_cross_entropy(logits, truth), expected)


def test_logits_are_brought_to_the_labels_size() -> None:
    logits = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    truth = torch.randint(0, 3, (1, 8, 8), generator=torch.Generator().manual_seed(1))
    grown = F.interpolate(logits, (8, 8), mode="bilinear", align_corners=False)
    expected = F.cross_entropy(grown, truth)
    torch.testing.assert_close(pixel_cross_entropy(logits, truth), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(pixel_cross_entropy(logits, truth), expected)


def test_without_labels_it_is_zero_with_a_live_graph() -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    found = pixel_cross_entropy(logits, torch.full((2, 4, 4), 255))
    found.backward()
    assert found == 0 and not logits.grad.any()
