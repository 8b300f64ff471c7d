"""OpenCV 4's warpAffine in any release of OpenCV, so that scenes stay the same to the bit.

OpenCV 4 rounds each pixel's place in the source to 1/32 px; OpenCV 5 computes it exactly. Its
``remap`` takes such rounded places in both.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

_BITS, _PART_BITS = 10, 5  # of a place's fixed-point fraction, and of what is kept of it


def warp_affine(
    source: NDArray[np.float32], matrix: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Draw ``source`` on an empty picture, between its pixels bilinearly.

    Args:
        source: (h, w) or (h, w, channels), sides under 16,384 px.
        matrix: (2, 3), from places (x, y) in the source to places in the picture.
        size: Width and height of the picture.
    """
    (a, b, right), (c, d, down) = matrix.tolist()
    scale = 1 / (a * d - b * c) if a * d != b * c else 0.0
    across = _places(d * scale, -b * scale, right, down, size)
    along = _places(-c * scale, a * scale, right, down, size)
    whole = np.empty((*across.shape, 2), np.int16)
    whole[..., 0], whole[..., 1] = across >> _PART_BITS, along >> _PART_BITS
    last = (1 << _PART_BITS) - 1
    part = ((along & last) << _PART_BITS | across & last).astype(np.uint16)
    return np.asarray(cv2.remap(source, whole, part, cv2.INTER_LINEAR), np.float32)


def _places(
    per_x: float, per_y: float, right: float, down: float, size: tuple[int, int]
) -> NDArray[np.int32]:
    """One coordinate in the source of each pixel (height, width), in 1/32 px."""
    one = 1 << _BITS
    columns = np.rint(per_x * np.arange(size[0]) * one).astype(np.int32)
    start = -per_x * right - per_y * down
    rows = np.rint((per_y * np.arange(size[1]) + start) * one).astype(np.int32)
    drop = _BITS - _PART_BITS
    return (columns + (rows[:, None] + (1 << drop >> 1))) >> drop
