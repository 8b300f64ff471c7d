"""The pretrained classifier that has a say in the queries' names."""

import math

import pytest
import torch
from mmengine.registry import init_default_scope
from tiny import NUM_CLASSES, build_tiny, tiny_batch, tiny_model_cfg
from torch import Tensor

from projects.cpm_avs.models.cpm.mask_pooled_classifier import MaskPooledClassifier

# Foreground classes 1 and 3 are known to the source, by its classes 4 and 0, and by 2.
SOURCE_CLASSES = [[4, 0], [], [2]]


def reader() -> MaskPooledClassifier:
    """Two channels that the head leaves as they are; the source's classes 4, 0, 2 in rows."""
    classifier = MaskPooledClassifier(
        num_classes=4, in_channels=2, channels=2, source_classes=SOURCE_CLASSES
    ).eval()
    with torch.no_grad():
        classifier.head.conv.weight.copy_(torch.eye(2)[..., None, None])
        classifier.head.bn.eps = 0.0
        classifier.classifier.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
        classifier.classifier.bias.zero_()
    return classifier


def one_cell_of_two(logit: float) -> Tensor:
    """A mask at twice the map's size that covers the left of its two cells."""
    mask = torch.full((1, 1, 2, 4), -math.inf)
    mask[..., :2] = logit
    return mask


def test_shares_are_those_of_the_masks_mean_feature() -> None:
    """By hand. Left is (ln 2, ln 3), right (ln 8, -1), which ReLU6 makes (ln 8, 0)."""
    deepest = torch.tensor([[[[math.log(2), math.log(8)]], [[math.log(3), -1.0]]]])
    classifier = reader()
    # Rows have 2, 3 and 1: the first two are class 1's. Half a mask has the same mean as a whole.
    for logit in (math.inf, 0.0):
        shares = classifier.shares(one_cell_of_two(logit), deepest)
        torch.testing.assert_close(shares, torch.tensor([[[5 / 6, 1 / 6]]]))
    # Of both cells the means are ln 4 and ln sqrt 3.
    shares = classifier.shares(torch.full((1, 1, 2, 4), math.inf), deepest)
    total = 4 + math.sqrt(3) + 1
    torch.testing.assert_close(shares, torch.tensor([[[1 - 1 / total, 1 / total]]]))
    # A mask of nothing has no feature, and no NaN: rows of 1 each.
    shares = classifier.shares(torch.full((1, 1, 2, 4), -math.inf), deepest)
    torch.testing.assert_close(shares, torch.tensor([[[2 / 3, 1 / 3]]]))


def test_logits_of_half_precision_are_weighed_in_full() -> None:
    deepest, logits = torch.ones(1, 2, 1, 2), torch.zeros(1, 1, 5, dtype=torch.half)
    assert reader()(logits, one_cell_of_two(0.0), deepest).dtype == torch.float32


def test_the_product_counts_and_what_is_not_known_stays() -> None:
    """By hand: of 0.1 and 0.3, times 5/6 and 1/6, each and 0.001, the sum stays 0.4."""
    deepest = torch.tensor([[[[math.log(2), 0.0]], [[math.log(3), 0.0]]]])
    before = torch.tensor([[[0.2, 0.1, 0.25, 0.3, 0.15]]])
    after = reader()(before.log(), one_cell_of_two(math.inf), deepest).softmax(-1)
    first, second = 0.1 * (5 / 6 + 0.001), 0.3 * (1 / 6 + 0.001)
    right = before.clone()
    right[..., 1] = 0.4 * first / (first + second)
    right[..., 3] = 0.4 * second / (first + second)
    torch.testing.assert_close(after, right)


def test_of_a_whole_classifier_the_named_rows_are_read() -> None:
    whole = MaskPooledClassifier(
        num_classes=6, in_channels=2, channels=2, source_classes=[[n] for n in range(5)]
    )
    classifier = reader()
    classifier.load_state_dict(whole.state_dict(), strict=True)
    assert torch.equal(classifier.classifier.weight, whole.classifier.weight[[4, 0, 2]])
    assert torch.equal(classifier.classifier.bias, whole.classifier.bias[[4, 0, 2]])
    again = reader()
    again.load_state_dict(classifier.state_dict(), strict=True)  # of a checkpoint: as they are
    assert torch.equal(again.classifier.weight, classifier.classifier.weight)


def settings(source_classes: list[list[int]]) -> dict:
    return dict(
        type="MaskPooledClassifier", in_channels=64, channels=16, source_classes=source_classes
    )


def test_it_speaks_at_test_in_the_last_layer_alone() -> None:
    plain = build_tiny().eval()
    model = build_tiny(tiny_model_cfg(mask_classifier=settings([[0], [1, 2]])))
    model.load_state_dict(plain.state_dict(), strict=False)
    assert not any(parameter.requires_grad for parameter in model.mask_classifier.parameters())
    assert not model.train().mask_classifier.head.bn.training
    data = model.eval().data_preprocessor(tiny_batch(), False)
    with torch.no_grad():
        before, after = (one.encode_decode(data["inputs"], []) for one in (plain, model))
        expected = model.mask_classifier(
            before.cls_logits[-1], before.masks(-1), plain.backbone(data["inputs"]["img"])[-1]
        )
    assert torch.equal(after.cls_logits[:-1], before.cls_logits[:-1])
    torch.testing.assert_close(after.cls_logits[-1], expected)
    assert not torch.allclose(expected, before.cls_logits[-1])


def test_classes_have_to_be_named_once_and_all() -> None:
    init_default_scope("mmseg")
    with pytest.raises(ValueError, match="a class of the source twice"):
        build_tiny(tiny_model_cfg(mask_classifier=settings([[3], [1, 3]])))
    message = rf"has 1 entries for {NUM_CLASSES - 1} foreground .*mask_classifier=None"
    with pytest.raises(ValueError, match=message):
        build_tiny(tiny_model_cfg(mask_classifier=settings([[3]])))
