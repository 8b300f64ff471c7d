"""Backdrops: a photograph as the picture's background, with the object that it shows."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .library import Library, Photograph

#: At least this share of the photograph's object lies in the picture.
MIN_SHARE_INSIDE = 0.6
_LARGEST_ZOOM = 1.5
_TRIES = 10


@dataclass(frozen=True)
class Backdrop:
    """A square part of a photograph.

    Attributes:
        class_index: What it shows.
        photo: Number of the class's photograph.
        sounds: Whether what it shows is heard, and so labelled.
        window: Left, top and side of the part, px of the photograph.
        mirrored: Flipped left to right.
        light: Gain of blue, green and red.
    """

    class_index: int
    photo: int
    sounds: bool
    window: tuple[int, int, int]
    mirrored: bool
    light: tuple[float, float, float]

    def draw(self, library: Library, size: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The picture (size, size, 3) BGR in [0, 1] and where its object is, (size, size)."""
        photograph = library.photograph(self.class_index, self.photo)
        left, top, side = self.window
        part = np.s_[top : top + side, left : left + side]
        how = cv2.INTER_AREA if side >= size else cv2.INTER_LINEAR
        image = cv2.resize(photograph.image[part], (size, size), interpolation=how)
        mask = (photograph.instances[part] > 0).astype(np.float32)
        shown = cv2.resize(mask, (size, size), interpolation=how) > 0.5
        if self.mirrored:
            image, shown = image[:, ::-1], shown[:, ::-1]
        lit = np.asarray(image, np.float32) / np.float32(255) * np.array(self.light, np.float32)
        return np.ascontiguousarray(lit), np.ascontiguousarray(shown)


def draw_window(rng: np.random.Generator, photograph: Photograph) -> tuple[int, int, int]:
    """A part that shows enough of the object: left, top and side, px."""
    height, width = photograph.instances.shape
    mask = photograph.instances > 0
    shortest = min(height, width)
    for zoom, right, down in rng.uniform(size=(_TRIES, 3)):
        side = max(1, round(shortest / (1 + (_LARGEST_ZOOM - 1) * zoom)))
        left, top = round((width - side) * right), round((height - side) * down)
        inside = np.count_nonzero(mask[top : top + side, left : left + side])
        if inside >= MIN_SHARE_INSIDE * np.count_nonzero(mask):
            return left, top, side
    rows, columns = np.nonzero(mask)
    left = int(np.clip(np.mean(columns) - shortest / 2, 0, width - shortest))
    top = int(np.clip(np.mean(rows) - shortest / 2, 0, height - shortest))
    return left, top, shortest
