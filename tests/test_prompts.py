"""Which prompts an image gets, and where they come from."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from projects.cpm_avs.models import GMMClassifier, LinearClassifier
from projects.cpm_avs.training.prompting.prompts import GaussianPrompter, PointPrompter, pad_labels

CLASSES = 5


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, CLASSES - 1)), min_size=1, max_size=4))
def test_labels_are_listed_in_order_and_padded_to_the_longest(images):
    sounding = torch.zeros(len(images), CLASSES, dtype=torch.bool)
    for row, classes in zip(sounding, images, strict=True):
        row[list(classes)] = True
    labels, padding = pad_labels(sounding)
    width = max(1, *(len(classes) for classes in images), 0)
    assert labels.shape == padding.shape == (len(images), width)
    for row, padded, classes in zip(labels.tolist(), padding.tolist(), images, strict=True):
        missing = width - len(classes)
        assert row == sorted(classes) + [0] * missing
        assert padded == [False] * len(classes) + [True] * missing


def test_gaussian_prompts_are_new_draws_of_their_class_at_the_queries_scale():
    torch.manual_seed(0)
    classifier = GMMClassifier(num_classes=CLASSES, embed_dims=256)
    classifier.covariances.fill_(1e-6)
    labels = torch.tensor([[1, 3], [4, 0]])
    prompter = GaussianPrompter()
    first, second = prompter(classifier, labels), prompter(classifier, labels)
    assert first.shape == (2, 2, 256) and not torch.equal(first, second)
    assert not first.requires_grad
    # So narrow that each prompt sits on one component's mean, times 16 = sqrt(256).
    distance = torch.cdist(first.flatten(0, 1) / 16, classifier.means.flatten(0, 1))
    assert (distance.argmin(-1) // 3).tolist() == labels.flatten().tolist()
    assert distance.amin(-1).max() < 0.05


def test_point_prompts_are_learned_and_shared_by_a_class():
    prompter = PointPrompter(num_classes=CLASSES, embed_dims=8)
    labels = torch.tensor([[1, 3], [3, 0]])
    prompts = prompter(LinearClassifier(num_classes=CLASSES, embed_dims=8), labels)
    assert torch.equal(prompts[0, 1], prompts[1, 0])
    assert torch.equal(prompts[0, 0], prompter.points.weight[1])
    prompts.sum().backward()
    assert prompter.points.weight.grad.abs().sum(-1).bool().tolist() == [1, 1, 0, 1, 0]


def test_a_linear_classifier_has_nothing_to_draw_from():
    classifier = LinearClassifier(num_classes=CLASSES, embed_dims=8)
    with pytest.raises(ValueError, match="LinearClassifier.*GMMClassifier.*'point'"):
        GaussianPrompter()(classifier, torch.zeros(1, 1, dtype=torch.long))
