"""Counts and scores of masks: the hand-computed cases of both protocols and brute-force twins."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from projects.cpm_avs.evaluation import mask_functional as F

# Two frames, C = 3 (a fourth class may be added that never occurs).
GT1, PRED1 = torch.tensor([[0, 0], [1, 1]]), torch.tensor([[0, 1], [1, 2]])
GT2 = PRED2 = torch.zeros(2, 2, dtype=torch.long)


def random_maps(seed: int, num_classes: int, ignored: float = 0.1):
    generator = torch.Generator().manual_seed(seed)
    pred = torch.randint(0, num_classes, (8, 8), generator=generator)
    label = torch.randint(0, num_classes, (8, 8), generator=generator)
    label[torch.rand(8, 8, generator=generator) < ignored] = 255
    return pred, label


def curve_by_loops(prob: torch.Tensor, label: torch.Tensor) -> list[float]:
    """The definition, pixel by pixel and threshold by threshold."""
    curve = []
    for threshold in torch.linspace(0, 1 - 1e-10, 255):
        tp = predicted = labelled = 0
        for y in range(prob.shape[0]):
            for x in range(prob.shape[1]):
                if label[y, x] == 255:
                    continue
                on, is_object = bool(prob[y, x] >= threshold), bool(label[y, x] == 1)
                tp += on and is_object
                predicted += on
                labelled += is_object
        precision, recall = tp / (predicted + 1e-20), tp / (labelled + 1e-20)
        denominator = 0.3 * precision + recall
        curve.append(1.3 * precision * recall / denominator if denominator else 0.0)
    return curve


class TestConfusionMatrix:
    @settings(max_examples=20, deadline=None)
    @given(st.integers(0, 10**6), st.integers(2, 5))
    def test_equals_nested_loops(self, seed, num_classes):
        pred, label = random_maps(seed, num_classes)
        expected = np.zeros((num_classes, num_classes), int)
        for y in range(8):
            for x in range(8):
                if label[y, x] != 255:
                    expected[label[y, x], pred[y, x]] += 1
        matrix = F.confusion_matrix(pred, label, num_classes)
        assert matrix.dtype == np.int64
        assert (matrix == expected).all()

    def test_all_ignored_counts_nothing(self):
        assert F.confusion_matrix(PRED1, torch.full((2, 2), 255), 3).sum() == 0

    def test_uint8_labels(self):
        same = F.confusion_matrix(PRED1.byte(), GT1.byte(), 3)
        assert (same == F.confusion_matrix(PRED1, GT1, 3)).all()

    @pytest.mark.parametrize(
        ("pred", "label", "message"),
        [
            (PRED1, GT1[:1], "truth \\(1, 2\\)"),
            (PRED1 + 1, GT1, "Class 3 was predicted"),
            (PRED1, GT1 + 2, "label 3"),
            (PRED1, GT1 + 300, "label 300"),
            (GT2, GT1 + 300, "label 300"),  # 901 counts, no rows of 3
            (PRED1, GT1 - 1, "label -1"),
            (PRED1 - 1, GT1, "Class -1 was predicted"),
        ],
    )
    def test_bad_maps_are_refused(self, pred, label, message):
        with pytest.raises(ValueError, match=message):
            F.confusion_matrix(pred, label, 3)

    def test_a_label_above_the_ignored_index_is_refused(self):
        with pytest.raises(ValueError, match="label 255.*ignores 100"):
            F.confusion_matrix(PRED2, GT2 + 255, 3, ignore_index=100)

    def test_ignored_index_can_not_be_a_class(self):
        with pytest.raises(ValueError, match="ignore_index=1"):
            F.confusion_matrix(PRED1, GT1, 3, ignore_index=1)


class TestDatasetScores:
    @pytest.mark.parametrize(("num_classes", "miou"), [(3, 0.388889), (4, 0.291667)])
    def test_hand_computed(self, num_classes, miou):
        matrix = F.confusion_matrix(PRED1, GT1, num_classes)
        matrix = matrix + F.confusion_matrix(PRED2, GT2, num_classes)
        scores = F.dataset_scores(F.class_areas(matrix))
        assert scores["mIoU"] == pytest.approx(miou, abs=1e-6)
        assert scores["F"] == pytest.approx(0.485294, abs=1e-6)
        assert scores["F1"] == pytest.approx(0.469697, abs=1e-6)
        assert scores["FDR"] == pytest.approx(0.5, abs=1e-6)
        assert scores["aAcc"] == pytest.approx(6 / 8)

    def test_per_class(self):
        matrix = F.confusion_matrix(PRED1, GT1, 4) + F.confusion_matrix(PRED2, GT2, 4)
        areas = F.class_areas(matrix)
        np.testing.assert_allclose(F.iou(areas), [5 / 6, 1 / 3, 0, np.nan])
        np.testing.assert_allclose(F.f_beta(areas), [6.5 / 6.8, 0.5, 0, np.nan])

    def test_nothing_counted_is_zero_not_nan(self):
        scores = F.dataset_scores(F.class_areas(np.zeros((3, 3), int)))
        assert scores["mIoU"] == scores["F"] == scores["FDR"] == 0

    @settings(max_examples=20, deadline=None)
    @given(st.integers(0, 10**6))
    def test_f_beta_equals_precision_and_recall(self, seed):
        areas = F.class_areas(F.confusion_matrix(*random_maps(seed, 3), 3))
        precision, recall = areas.intersect / areas.predicted, areas.intersect / areas.labelled
        with np.errstate(invalid="ignore"):
            expected = 1.3 * precision * recall / (0.3 * precision + recall)
        np.testing.assert_allclose(F.f_beta(areas), np.nan_to_num(expected), rtol=1e-12)


class TestBinaryJaccard:
    @pytest.mark.parametrize(
        ("pred", "label", "expected"),
        [
            ([[1, 0], [0, 0]], [[1, 1], [0, 0]], 0.5),
            ([[1, 0], [0, 0]], [[0, 0], [0, 0]], 0.75),
            ([[0, 0], [0, 0]], [[0, 0], [0, 0]], 1.0),
            ([[0, 0], [0, 0]], [[1, 1], [1, 1]], 0.0),
            ([[1, 0], [0, 1]], [[0, 255], [0, 255]], 0.5),  # nothing sounds on two pixels
            ([[1, 0], [0, 1]], [[1, 0], [0, 255]], 1.0),
        ],
    )
    def test_hand_computed(self, pred, label, expected):
        matrix = F.confusion_matrix(torch.tensor(pred), torch.tensor(label), 2)
        assert F.binary_jaccard(matrix) == pytest.approx(expected, abs=1e-6)

    def test_all_ignored_is_no_frame(self):
        assert F.binary_jaccard(np.zeros((2, 2), int)) is None


class TestForegroundProbability:
    def test_normalises_and_is_zero_without_scores(self):
        scores = torch.tensor([[[0.2, 0.0]], [[0.6, 0.0]]])
        torch.testing.assert_close(F.foreground_probability(scores), torch.tensor([[0.75, 0.0]]))

    def test_half_precision(self):
        assert F.foreground_probability(torch.ones(2, 1, 1).half()).dtype == torch.float32

    @pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
    def test_logits_and_nan_are_refused(self, bad):
        with pytest.raises(ValueError, match="finite and not negative"):
            F.foreground_probability(torch.tensor([[[0.5]], [[bad]]]))


class TestFCurve:
    def curve(self, prob, label):
        return F.f_curve(F.threshold_histogram(torch.tensor(prob), torch.tensor(label)))

    def at(self, curve, threshold):
        return curve[round(threshold * 254)]

    def test_hand_computed_1(self):
        curve = self.curve([[0.9, 0.4], [0.6, 0.1]], [[1, 1], [0, 0]])
        for threshold, expected in [
            (0.05, 0.565217), (0.2, 0.722222), (0.5, 0.5), (0.8, 0.8125), (0.95, 0.0),
        ]:  # fmt: skip
            assert self.at(curve, threshold) == pytest.approx(expected, abs=1e-6)
        assert curve.max() == pytest.approx(0.8125, abs=1e-6)

    def test_hand_computed_2(self):
        curve = self.curve([[0.3, 0.8], [0.1, 0.1]], [[1, 0], [0, 0]])
        assert self.at(curve, 0.05) == pytest.approx(0.302326, abs=1e-6)
        assert self.at(curve, 0.2) == pytest.approx(0.565217, abs=1e-6)
        assert self.at(curve, 0.5) == 0
        assert curve.max() == pytest.approx(0.565217, abs=1e-6)

    def test_no_object_no_curve(self):
        assert self.curve([[0.9, 0.1]], [[0, 255]]) is None

    @settings(max_examples=5, deadline=None)
    @given(st.integers(0, 10**6))
    def test_equals_nested_loops(self, seed):
        generator = torch.Generator().manual_seed(seed)
        prob = torch.rand(8, 8, generator=generator)
        label = random_maps(seed, 2)[1]
        curve = F.f_curve(F.threshold_histogram(prob, label))
        np.testing.assert_allclose(curve, curve_by_loops(prob, label), rtol=1e-12)

    def test_probabilities_on_and_beside_every_threshold(self):
        on = torch.linspace(0, 1 - 1e-10, 255)
        below, above = on.nextafter(torch.tensor(-1.0))[1:], on.nextafter(torch.tensor(2.0))[:-1]
        prob = torch.cat([on, below, above])[None]
        histogram = F.threshold_histogram(prob, torch.ones_like(prob, dtype=torch.long))
        reached = (prob[0][:, None] >= on).sum(1) - 1
        assert (histogram[1] == np.bincount(reached.numpy(), minlength=255)).all()
