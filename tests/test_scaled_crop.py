"""Random scale and crop in one, against resizing the whole frame and mmseg's crop."""

import numpy as np
import pytest
from mmseg.datasets.transforms import RandomCrop, Resize

from projects.cpm_avs.datasets.scaled_crop import RandomScaledCrop

FRAME = (72, 128)


def frame() -> dict:
    rng = np.random.default_rng(0)
    return dict(
        img=rng.integers(0, 256, (*FRAME, 3), dtype=np.uint8),
        gt_seg_map=rng.integers(0, 4, FRAME, dtype=np.uint8),
        seg_fields=["gt_seg_map"],
        img_shape=FRAME,
    )


def whole_then_crop(seed: int, base: tuple[int, int], crop: tuple[int, int]) -> dict:
    """As the two transforms that this one replaced: a factor, then a row, then a column."""
    np.random.seed(seed)
    factor = np.random.uniform(0.5, 2.0)
    scale = round(base[1] * factor), round(base[0] * factor)
    results = Resize(scale=scale, keep_ratio=False, backend="pillow")(frame())
    return RandomCrop(crop_size=crop)(results)


def on_a_border(results: dict, seed: int, crop: tuple[int, int]) -> np.ndarray:
    """Where the centre of a cell lies between two pixels, and either is the nearest one."""
    np.random.seed(seed)
    np.random.uniform()
    width, height = results["scale"]
    sides = []
    for source, length, side in ((FRAME[0], height, crop[0]), (FRAME[1], width, crop[1])):
        start = np.random.randint(0, max(length - side, 0) + 1)
        cells = np.arange(start, min(start + side, length))
        sides.append((2 * cells + 1) * source % (2 * length) == 0)
    return sides[0][:, None] | sides[1]


@pytest.mark.parametrize("base", [None, (40, 40)])
@pytest.mark.parametrize("crop", [(51, 51), (16, 100), (200, 300)])
def test_it_is_the_crop_of_the_whole_frame_resized(base, crop):
    transform = RandomScaledCrop(crop_size=crop, base_size=base)
    for seed in range(20):
        expected = whole_then_crop(seed, base or FRAME, crop)
        drawn = np.random.random()
        np.random.seed(seed)
        found = transform(frame())
        assert np.random.random() == drawn  # the same draws, no more and no less
        for key in ("img_shape", "scale", "scale_factor", "keep_ratio"):
            assert found[key] == expected[key], key
        assert found["img"].shape == expected["img"].shape
        apart = np.abs(found["img"].astype(int) - expected["img"])
        # Pillow places a part in single precision, which may round a value the other way.
        assert apart.max() <= 2 and apart.mean() < 0.25
        same = found["gt_seg_map"] == expected["gt_seg_map"]
        assert (same | on_a_border(found, seed, crop)).all()


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_at_plain_factors_it_is_the_same_to_the_bit(factor):
    transform = RandomScaledCrop(crop_size=(30, 40), scale_range=(factor, factor))
    size = round(FRAME[1] * factor), round(FRAME[0] * factor)
    whole = Resize(scale=size, keep_ratio=False, backend="pillow")(frame())
    for seed in range(5):
        np.random.seed(seed)
        found = transform(frame())
        np.random.seed(seed)
        np.random.uniform()  # the factor
        expected = RandomCrop(crop_size=(30, 40))(dict(whole))
        assert np.array_equal(found["img"], expected["img"])
        assert np.array_equal(found["gt_seg_map"], expected["gt_seg_map"])


def test_a_frame_without_label_is_cropped_too():
    results = dict(img=frame()["img"], img_shape=FRAME)
    assert RandomScaledCrop(crop_size=(32, 32))(results)["img"].shape == (32, 32, 3)


def test_factors_are_over_the_whole_range():
    transform = RandomScaledCrop(crop_size=(8, 8))
    heights = set()
    for seed in range(20):
        np.random.seed(seed)
        width, height = transform(frame())["scale"]
        assert 36 <= height <= 144 and abs(width - height * 128 / 72) <= 1.5
        heights.add(height)
    assert len(heights) > 10 and min(heights) < 50 and max(heights) > 120
    with pytest.raises(ValueError, match="rising"):
        RandomScaledCrop(crop_size=(8, 8), scale_range=(2.0, 0.5))


@pytest.mark.parametrize("size", [0, 32, (32,), (0, 32), (32, -1), (32.5, 32)])
def test_a_size_that_no_picture_has_is_refused(size):
    for name in ("crop_size", "base_size"):
        with pytest.raises(ValueError, match=f"{name}=.*give height and width, each 1 or more"):
            RandomScaledCrop(**(dict(crop_size=(8, 8)) | {name: size}))


def test_a_frame_is_never_resized_to_nothing():
    found = RandomScaledCrop(crop_size=(8, 8), scale_range=(1e-4, 1e-4))(frame())
    assert found["img"].shape == (1, 1, 3) and found["gt_seg_map"].shape == (1, 1)
