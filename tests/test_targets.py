"""Label maps as segments."""

import pytest
import torch
from segments import sample

from projects.cpm_avs.training.set_prediction.targets import build_targets


def test_segments_of_a_batch():
    targets = build_targets([sample([[0, 2], [2, 255]]), sample([[1, 1], [1, 1]])], 3)
    assert targets.labels.tolist() == [0, 2, 1]
    assert targets.image_index.tolist() == [0, 0, 1]
    assert targets.counts == [2, 1]
    assert targets.masks.tolist() == [
        [[True, False], [False, False]],
        [[False, True], [True, False]],
        [[True, True], [True, True]],
    ]
    assert targets.valid.tolist() == [[[True, True], [True, False]], [[True, True], [True, True]]]
    assert targets.sounding.tolist() == [[False, False, True], [False, True, False]]


def test_masks_equal_a_loop_over_images_and_classes():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(0, 6, (3, 9, 7), generator=generator)
    maps[maps == 5] = 255
    targets = build_targets([sample(rows.tolist()) for rows in maps], 5)
    expected = [
        (image, label, maps[image] == label)
        for image in range(3)
        for label in range(5)
        if (maps[image] == label).any()
    ]
    assert targets.image_index.tolist() == [image for image, _, _ in expected]
    assert targets.labels.tolist() == [label for _, label, _ in expected]
    assert torch.equal(targets.masks, torch.stack([mask for _, _, mask in expected]))


def test_a_data_sets_own_tags_win_over_the_mask():
    rows = [[0, 2], [2, 2]]
    targets = build_targets(
        [
            sample(rows),
            sample(rows, sound_classes=None),
            sample(rows, sound_classes=[1]),
            sample(rows, sound_classes=[]),
            sample(rows, sound_classes=[0, 2]),
        ],
        3,
    )
    assert [row.nonzero().flatten().tolist() for row in targets.sounding] == [
        [2],
        [2],
        [1],
        [],
        [2],  # background makes no sound
    ]
    assert targets.counts == [2] * 5  # the masks are untouched


def test_silence_and_nothing_labelled():
    targets = build_targets([sample([[0, 0]]), sample([[255, 255]])], 3)
    assert targets.labels.tolist() == [0] and targets.counts == [1, 0]
    assert not targets.sounding.any()
    nothing = build_targets([sample([[255, 255]])], 3)
    assert nothing.masks.shape == (0, 1, 2) and nothing.counts == [0]


@pytest.mark.parametrize("label", [3, 4, 254])
def test_a_label_that_the_model_does_not_have_is_named(label):
    with pytest.raises(ValueError, match=f"label {label}, but the model has 3 classes"):
        build_targets([sample([[0, label]])], 3)
