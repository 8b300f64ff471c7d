"""The ring buffers against a dict of deques, and what feeds them."""

import copy
from collections import deque

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from projects.cpm_avs.models import GMMClassifier
from projects.cpm_avs.training.ccdm.memory_bank import ClassMemoryBank
from projects.cpm_avs.training.ccdm.mixture_fitting import MixtureFitting

CLASSES, SIZE = 4, 5
pushes = st.lists(st.lists(st.integers(0, CLASSES - 1), max_size=12), max_size=8)


def numbered(labels: list[list[int]], start: int = 0) -> list[tuple[Tensor, Tensor]]:
    """One push a list, with embeddings that tell when they came: 1, 2, 3, ..."""
    batches = []
    for batch in labels:
        numbers = torch.arange(start + 1, start + 1 + len(batch), dtype=torch.float)
        batches.append((numbers.unsqueeze(1).repeat(1, 2), torch.tensor(batch, dtype=torch.long)))
        start += len(batch)
    return batches


def make(max_per_push: int = SIZE) -> ClassMemoryBank:
    return ClassMemoryBank(num_classes=CLASSES, embed_dims=2, size=SIZE, max_per_push=max_per_push)


def content(bank: ClassMemoryBank) -> list[list[float]]:
    """The valid samples of each class, oldest first."""
    ordered = []
    for samples, valid, count in zip(bank.samples, bank.valid, bank.count.tolist(), strict=True):
        ring = [row[0].item() for row, filled in zip(samples, valid, strict=True) if filled]
        oldest = count % SIZE if count > SIZE else 0
        ordered.append(ring[oldest:] + ring[:oldest])
    return ordered


def evenly(items: list, limit: int, pushed: int) -> list:
    """Items at equal distances around the circle, from one on that goes by the golden ratio."""
    taken = min(len(items), limit)
    first = int(pushed * (5**0.5 - 1) / 2 % 1 * len(items))
    turned = items[len(items) - first :] + items[: len(items) - first]
    return [turned[-(-slot * len(items) // taken)] for slot in range(taken)]


@settings(deadline=None, max_examples=150)
@given(pushes, st.integers(1, SIZE))
def test_bank_is_a_dict_of_deques(labels, max_per_push):
    bank = make(max_per_push)
    twin = {label: deque(maxlen=SIZE) for label in range(CLASSES)}
    pushed = [0] * CLASSES
    for embeddings, classes in numbered(labels):
        bank.push(embeddings, classes)
        for label in range(CLASSES):
            own = embeddings[classes == label, 0].tolist()
            taken = evenly(own, max_per_push, pushed[label])
            twin[label].extend(taken)
            pushed[label] += len(taken)
        assert content(bank) == [list(twin[label]) for label in range(CLASSES)]


@settings(deadline=None, max_examples=30)
@given(pushes, pushes)
def test_saved_midway_it_goes_on_identically(first, second):
    bank = make()
    for batch in numbered(first):
        bank.push(*batch)
    resumed = make()
    resumed.load_state_dict(copy.deepcopy(bank.state_dict()), strict=True)
    for batch in numbered(second, start=1000):
        bank.push(*batch)
        resumed.push(*batch)
    assert torch.equal(bank.samples, resumed.samples)
    assert torch.equal(bank.count, resumed.count)


def test_nothing_pushed_is_nothing_valid():
    bank = make()
    bank.push(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))
    assert not bank.valid.any() and not bank.count.any()
    assert bank.samples.isfinite().all()


def test_more_than_the_cap_are_thinned_evenly():
    bank = make(max_per_push=3)
    [(embeddings, labels)] = numbered([[1] * 9 + [2]])
    bank.push(embeddings, labels)
    assert content(bank) == [[], [1, 4, 7], [10], []]
    [(embeddings, labels)] = numbered([[1] * 4], start=20)
    bank.push(embeddings, labels)
    # After three, 3 * 0.618 = 1.85 turns: the first one comes last, and of 22, 23, 24, 21 all but
    # the second are taken.
    assert content(bank)[1] == [4, 7, 22, 24, 21]


@pytest.mark.parametrize("images, queries", [(16, 100), (16, 20), (8, 64)])
@pytest.mark.parametrize("matched", [0, 3])
def test_every_query_stands_for_no_object_in_its_turn(images, queries, matched):
    """A comb that always starts at the same place takes 2 of 100 queries, 50 times too often."""
    bank = ClassMemoryBank(num_classes=2, embed_dims=1, size=64, max_per_push=32)
    query = torch.arange(queries).repeat(images, 1)
    query = query[:, : queries - matched].flatten()  # the last ones are always matched
    taken = torch.zeros(queries)
    pushes = 500
    for _ in range(pushes):
        before = bank.count[1].item() % 64
        bank.push(query.unsqueeze(1).float(), torch.ones_like(query))
        newest = bank.samples[1, before : before + 32, 0].long()
        taken += newest.bincount(minlength=queries)
    fair = pushes * 32 / (queries - matched)
    assert taken.sum() == pushes * 32
    assert 0.5 * fair < taken[: queries - matched].min()
    assert taken.max() < 2 * fair


def test_half_precision_and_gradients_stop_at_the_bank():
    bank = make()
    embeddings = torch.ones(1, 2, dtype=torch.bfloat16, requires_grad=True)
    bank.push(embeddings, torch.tensor([2]))
    assert bank.samples.dtype == torch.float32 and not bank.samples.requires_grad
    assert bank.samples[2, 0].tolist() == [1, 1]


def test_a_cap_that_does_not_fit_is_refused():
    for cap in (0, SIZE + 1):
        with pytest.raises(ValueError, match=f"max_per_push is {cap}"):
            make(max_per_push=cap)


def fitting(**kwargs) -> MixtureFitting:
    return MixtureFitting(num_classes=2, embed_dims=4, bank_size=8, max_per_push=8, **kwargs)


def test_fitting_collects_for_no_object_too_and_updates_what_has_samples():
    torch.manual_seed(0)
    fit = fitting(momentum=0.5, min_samples=4)
    classifier = GMMClassifier(num_classes=2, embed_dims=4, num_components=2)
    before = copy.deepcopy(classifier.state)
    fit.collect(classifier.normalize(torch.randn(9, 4)), torch.tensor([2] * 6 + [0] * 3))
    assert fit.bank.count.tolist() == [3, 0, 6]
    classifier.load_state(fit.update(classifier.state))
    changed = (classifier.means != before.means).flatten(1).any(1)
    assert changed.tolist() == [False, False, True]  # three samples are too few


def test_the_floor_is_in_units_of_the_starting_variance():
    fit = fitting(momentum=0.0, variance_floor=0.25, min_samples=4)
    classifier = GMMClassifier(num_classes=2, embed_dims=4, num_components=1)
    fit.collect(torch.ones(16, 4) / 2, torch.zeros(16, dtype=torch.long))
    classifier.load_state(fit.update(classifier.state))
    assert classifier.covariances[0].tolist() == [[0.25 / 4] * 4]


@pytest.mark.parametrize(("pace", "stays"), [(1.0, 0.5), (0.5, 0.75), (0.0, 1.0)])
def test_the_pace_shortens_the_step(pace: float, stays: float) -> None:
    fit = fitting(momentum=0.5, min_samples=4)
    classifier = GMMClassifier(num_classes=2, embed_dims=4, num_components=1)
    before = classifier.means[0, 0].clone()
    point = torch.tensor([0.5, -0.5, 0.5, -0.5])
    fit.collect(point.expand(8, 4), torch.zeros(8, dtype=torch.long))
    classifier.load_state(fit.update(classifier.state, pace=pace))
    torch.testing.assert_close(classifier.means[0, 0], stays * before + (1 - stays) * point)


def test_fitting_refuses_what_can_not_work():
    for momentum in (-0.1, 1.0):
        with pytest.raises(ValueError, match="momentum"):
            fitting(momentum=momentum)
    with pytest.raises(ValueError, match="variance_floor is 0"):
        fitting(variance_floor=0)
