"""OpenCV 4's warpAffine, which scenes are composed with whatever the release."""

import cv2
import numpy as np
import pytest

from projects.cpm_avs.datasets.composed.warp import warp_affine


def cases(number: int) -> list[tuple[np.ndarray, np.ndarray, tuple[int, int]]]:
    """Pictures and outlines, turned, scaled, mirrored and moved over every edge."""
    rng = np.random.default_rng(0)
    made = []
    for index in range(number):
        height, width = rng.integers(1, 90, 2)
        source = rng.random((height, width, 4) if index % 2 else (height, width), np.float32)
        angle, scale = rng.uniform(-3, 3), rng.uniform(0.2, 2)
        cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
        matrix = np.array([[cosine, sine, 0], [-sine, cosine, 0]])
        matrix[:, 0] *= rng.choice([-1, 1])
        matrix[:, 2] = rng.uniform(-30, 90, 2)
        made.append((source, matrix, tuple(rng.integers(1, 100, 2).tolist())))
    return made


@pytest.mark.skipif(cv2.__version__.startswith("5"), reason="its own warpAffine is another")
def test_equal_to_opencv_4_to_the_bit() -> None:
    for source, matrix, size in cases(200):
        expected = cv2.warpAffine(source, matrix, size, flags=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(warp_affine(source, matrix, size), expected)


def test_places_are_rounded_to_a_32nd_of_a_pixel() -> None:
    """By nested loops over the pixels, exact otherwise: in OpenCV 4 and 5 alike."""
    for source, matrix, (width, height) in cases(6):
        found = warp_affine(source, matrix, (width, height))
        back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
        padded = np.pad(source, [(1, 1), (1, 1)] + [(0, 0)] * (source.ndim - 2))
        for y in range(height):
            for x in range(width):
                place = back @ [x, y, 1]
                # In steps of 1/1024 along the axes, then cut to 1/32.
                steps = np.rint(back[:, 0] * x * 1024) + np.rint((place - back[:, 0] * x) * 1024)
                u, v = np.floor((steps + 16) / 32) / 32 + 1
                value = 0.0
                for row in (int(np.floor(v)), int(np.floor(v)) + 1):
                    for column in (int(np.floor(u)), int(np.floor(u)) + 1):
                        if 0 <= row < padded.shape[0] and 0 <= column < padded.shape[1]:
                            weight = (1 - abs(v - row)) * (1 - abs(u - column))
                            value = value + weight * padded[row, column].astype(np.float64)
                np.testing.assert_allclose(found[y, x], value, atol=1e-6)


def test_a_matrix_that_flattens_draws_one_place() -> None:
    source = np.ones((4, 4), np.float32)
    assert warp_affine(source, np.zeros((2, 3)), (3, 2)).tolist() == [[1.0] * 3] * 2
