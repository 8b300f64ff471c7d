"""Coverage score: Jaccard index of predicted and sounding classes, background left out."""

import pytest
from metric_frames import make_frame, score

from projects.cpm_avs.evaluation.coverage import coverage_score


@pytest.mark.parametrize(
    ("predicted", "sounding", "expected"),
    [
        ([], [], 1),
        ([0], [0], 1),  # background only, on both sides
        ([1], [], 0),
        ([], [1], 0),
        ([1, 2], [2, 3], 1 / 3),
        ([0, 1, 1, 2], [2, 1], 1),
        ([0, 1], [0, 2], 0),
    ],
)
def test_coverage_score(predicted, sounding, expected):
    assert coverage_score(predicted, sounding) == pytest.approx(expected)


def test_mean_over_frames_with_classes_of_mask_or_data_set():
    frames = [
        make_frame([[0, 0]], [[2, 255]], pred_audio_classes=[1, 2]),  # 1/2, from the mask
        make_frame([[0, 0]], [[2, 2]], pred_audio_classes=[3], sound_classes=[3]),  # 1
        make_frame([[0, 0]], [[0, 255]], pred_audio_classes=[]),  # both empty: 1
        make_frame([[0, 0]], [[1, 1]], pred_audio_classes=[2]),  # 0
    ]
    for batch_size in (1, 3):
        assert score(frames, 4, batch_size, type="CoverageMetric") == dict(coverage=2.5 / 4)


def test_model_without_the_prediction_is_named():
    with pytest.raises(ValueError, match="needs pred_audio_classes"):
        score([make_frame([[0]], [[0]])], 4, type="CoverageMetric")
