"""Where the objects of a scene go: partly hidden perhaps, but each seen well enough."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .library import Cutout, Library
from .warp import warp_affine

#: At least this share of every object's opaque area can be seen.
MIN_VISIBLE_SHARE = 0.5
#: Two instances of one class are at least this far apart, left to right, to be told apart by ear.
MIN_TWIN_DISTANCE = 0.35
#: Longest side of an object.
MAX_SIDE = 0.7
#: Places are tried at this picture size, px, so that they don't depend on the real one.
GRID = 48
_TRIES = 30
_SHRINK = 0.85


@dataclass(frozen=True)
class PlacedObject:
    """An object of a scene; lengths are in picture sides, later ones lie in front.

    Attributes:
        class_index: 1 to C - 1.
        sounds: Whether it is heard, and so labelled.
        center: x and y.
        size: Root of its opaque area.
        angle: Rotation, degrees.
        mirrored: Flipped left to right.
        light: Gain of blue, green and red.
        photo: Number of the class's photograph.
    """

    class_index: int
    sounds: bool
    center: tuple[float, float]
    size: float
    angle: float
    mirrored: bool
    light: tuple[float, float, float]
    photo: int = 0

    def scale(self, cutout: Cutout, picture_side: int) -> float:
        """Pixels of the picture per pixel of the cut-out."""
        width, height = cutout.size
        by_area = self.size / np.sqrt(cutout.opaque_share * width * height)
        return float(min(by_area, MAX_SIDE / max(width, height))) * picture_side


def affine(
    item: PlacedObject, source: NDArray[np.float32], scale: float, center: tuple[float, float]
) -> NDArray[np.float64]:
    """Matrix (2, 3) that draws ``source`` at ``scale`` with its middle at ``center`` (px)."""
    height, width = source.shape[:2]
    angle = np.deg2rad(item.angle)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cosine, sine], [-sine, cosine]])
    if item.mirrored:
        matrix[:, 0] *= -1
    # Pixel centres have whole coordinates in OpenCV.
    offset = np.array(center) - 0.5 - matrix @ [(width - 1) / 2, (height - 1) / 2]
    return np.column_stack([matrix, offset])


def place_objects(
    rng: np.random.Generator,
    objects: Sequence[PlacedObject],
    library: Library,
    behind: NDArray[np.bool_] | None = None,
) -> tuple[PlacedObject, ...]:
    """Give objects, back to front, places at which each can be seen well enough.

    Where there is no room for one, all are made smaller and placed anew.

    Args:
        rng: Draws the places.
        objects: Without a place yet.
        library: Has their cut-outs.
        behind: What the backdrop shows, which has to be seen as well, (``GRID``, ``GRID``).
    """
    while True:
        placed = _try_to_place(rng, objects, library, behind)
        if placed is not None:
            return placed
        objects = [replace(item, size=item.size * _SHRINK) for item in objects]


def _try_to_place(
    rng: np.random.Generator,
    objects: Sequence[PlacedObject],
    library: Library,
    behind: NDArray[np.bool_] | None,
) -> tuple[PlacedObject, ...] | None:
    placed: list[PlacedObject] = []
    # What can be seen of each, and the least that has to, pixels.
    visible = [] if behind is None else [behind]
    needed = [MIN_VISIBLE_SHARE * np.count_nonzero(seen) for seen in visible]
    for item in objects:
        canvas = _outline_on_canvas(item, library.cutout(item.class_index, item.photo))
        need = MIN_VISIBLE_SHARE * np.count_nonzero(canvas)
        centers = rng.uniform(0.12, 0.88, size=(_TRIES, 2))
        for x, y in centers.tolist():
            if any(
                other.class_index == item.class_index
                and abs(other.center[0] - x) < MIN_TWIN_DISTANCE
                for other in placed
            ):
                continue
            left, top = GRID - round(x * GRID), GRID - round(y * GRID)
            mask = canvas[top : top + GRID, left : left + GRID]
            left_over = [seen & ~mask for seen in visible]
            counts = [np.count_nonzero(seen) for seen in (*left_over, mask)]
            if all(count >= least for count, least in zip(counts, (*needed, need), strict=True)):
                break
        else:
            return None
        placed.append(replace(item, center=(x, y)))
        visible, needed = [*left_over, mask], [*needed, need]
    return tuple(placed)


def _outline_on_canvas(item: PlacedObject, cutout: Cutout) -> NDArray[np.bool_]:
    """Opaque pixels of an object in the middle of a canvas of twice the grid's side."""
    outline = cutout.outline
    scale = item.scale(cutout, GRID) * cutout.size[1] / outline.shape[0]
    matrix = affine(item, outline, scale, (GRID, GRID))
    return warp_affine(outline, matrix, (2 * GRID, 2 * GRID)) > 0.5
