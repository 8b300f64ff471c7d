"""STS: entropies by hand, classes that never occur, and a literal twin of Algorithm 1."""

import math

import pytest
import torch

from projects.cpm_avs.training.diagnostics.stability import assignment_counts, stability_score


def algorithm_1(assigned: torch.Tensor, num_classes: int) -> float:
    """The paper's listing for R of (D, N), leaving out classes that never occur."""
    total, occurred = 0.0, 0
    for c in range(num_classes):
        s = [sum(int(row[n] == c) for row in assigned) for n in range(assigned.shape[1])]
        if sum(s) == 0:
            continue
        p = [min(max(x / sum(s), 1e-12), 1) for x in s]
        total -= sum(x * math.log(x) for x in p)
        occurred += 1
    return total / occurred


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([[7, 0, 0]], 0.0),
        ([[5, 5, 0]], math.log(2)),
        ([[1, 1, 1]], math.log(3)),
        ([[3, 1, 0]], -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))),
        ([[5, 5, 0], [0, 0, 9]], math.log(2) / 2),
        ([[5, 5, 0], [0, 0, 0]], math.log(2)),  # the second class never occurred
    ],
)
def test_hand_computed(counts, expected):
    assert stability_score(torch.tensor(counts)) == pytest.approx(expected, abs=1e-6)


def test_equals_algorithm_1():
    assigned = torch.randint(0, 4, (20, 6), generator=torch.Generator().manual_seed(0))
    for num_classes in (3, 6):  # label 3 is no-object in the first case
        labels = assigned.clamp(max=num_classes)
        counts = assignment_counts(labels, num_classes)
        assert stability_score(counts) == pytest.approx(algorithm_1(labels, num_classes), abs=1e-9)


def test_counts_by_hand():
    labels = torch.tensor([[0, 2, 1], [0, 1, 2]])  # 2 is no-object
    assert assignment_counts(labels, 2).tolist() == [[2, 0, 0], [0, 1, 1]]


def test_counts_of_batches_add_up():
    labels = torch.randint(0, 4, (8, 5), generator=torch.Generator().manual_seed(1))
    parts = assignment_counts(labels[:3], 3) + assignment_counts(labels[3:], 3)
    assert torch.equal(parts, assignment_counts(labels, 3))


def test_no_class_no_score():
    assert math.isnan(stability_score(torch.zeros(3, 4, dtype=torch.long)))
