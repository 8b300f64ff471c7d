"""Random scale and crop in one: only the part of a frame that the crop shows is resized."""

import math
from typing import NamedTuple

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmseg.registry import TRANSFORMS
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.uint8]


class Span(NamedTuple):
    """One side of a crop.

    Attributes:
        source: Length of the frame.
        scaled: Length that the frame is resized to.
        start: Where the crop begins in the resized frame.
        stop: Where it ends.
    """

    source: int
    scaled: int
    start: int
    stop: int


@TRANSFORMS.register_module()
class RandomScaledCrop(BaseTransform):
    """Resize by a random factor, then crop at random.

    It gives what resizing the whole frame and mmseg's ``RandomCrop`` give, from the same draws, at
    the cost of the crop. Pillow resizes, see ``ResizeForProtocol``.

    Modified keys: ``img``, those of ``seg_fields``, ``img_shape``; added: ``scale`` (width and
    height of the whole frame, resized), ``scale_factor`` and ``keep_ratio``, as of mmseg's
    ``Resize``, and ``frame_span``, where the frame's left and right edge lie in the crop, px.

    Args:
        crop_size: Height and width; a frame that is smaller after resizing stays so.
        scale_range: Smallest and largest factor.
        base_size: Height and width that the factor is of; None takes the frame's own.
    """

    def __init__(
        self,
        *,
        crop_size: tuple[int, int],
        scale_range: tuple[float, float] = (0.5, 2.0),
        base_size: tuple[int, int] | None = None,
    ) -> None:
        if not 0 < scale_range[0] <= scale_range[1]:
            raise ValueError(f"scale_range={scale_range}: give two positive factors, rising.")
        for name, size in (("crop_size", crop_size), ("base_size", base_size)):
            if size is not None and not _is_size(size):
                raise ValueError(f"{name}={size}: give height and width, each 1 or more.")
        self.crop_size, self.scale_range, self.base_size = crop_size, scale_range, base_size

    @cache_randomness
    def _random_factor(self) -> float:
        return float(np.random.uniform(*self.scale_range))

    @cache_randomness
    def _random_start(self, margin: int) -> int:
        return int(np.random.randint(0, margin + 1))

    def transform(self, results: dict) -> dict:
        factor = self._random_factor()
        frame = results["img"].shape[:2]
        scaled = [max(round(side * factor), 1) for side in self.base_size or frame]
        spans = []
        for source, length, crop in zip(frame, scaled, self.crop_size, strict=True):
            start = self._random_start(max(length - crop, 0))
            spans.append(Span(source, length, start, min(start + crop, length)))
        rows, columns = spans
        results["img"] = resize_part(results["img"], rows, columns)
        for key in results.get("seg_fields", []):
            results[key] = pick_part(results[key], rows, columns)
        results["img_shape"] = results["img"].shape[:2]
        results["frame_span"] = float(-columns.start), float(columns.scaled - columns.start)
        results["scale"] = columns.scaled, rows.scaled
        results["scale_factor"] = columns.scaled / columns.source, rows.scaled / rows.source
        results["keep_ratio"] = False
        return results


def _is_size(size: object) -> bool:
    sides = size if isinstance(size, (tuple, list)) else ()
    return len(sides) == 2 and all(isinstance(side, int) and side >= 1 for side in sides)


def resize_part(image: Array, rows: Span, columns: Span) -> Array:
    """A crop of a frame (H, W, 3) resized bilinearly, as if the whole of it had been."""
    (top, bottom), (upper, lower) = _needed(rows)
    (left, right), (first, last) = _needed(columns)
    part = Image.fromarray(np.ascontiguousarray(image[top:bottom, left:right]))
    size = columns.stop - columns.start, rows.stop - rows.start
    return np.array(part.resize(size, Image.Resampling.BILINEAR, box=(first, upper, last, lower)))


def pick_part(classes: Array, rows: Span, columns: Span) -> Array:
    """The same of a class map (H, W), by the pixel in which a cell's centre lies."""
    return classes[_nearest(rows)][:, _nearest(columns)]


def _nearest(side: Span) -> NDArray[np.int64]:
    # Whole numbers: a centre on the border of two pixels belongs to the second one, always.
    return (2 * np.arange(side.start, side.stop) + 1) * side.source // (2 * side.scaled)


def _needed(side: Span) -> tuple[tuple[int, int], tuple[float, float]]:
    """Pixels of the frame that the crop's depend on, and where among them the crop lies."""
    step = side.source / side.scaled
    start, stop = side.start * step, side.stop * step
    reach = max(1.0, step)  # of the triangle filter, which widens where a frame shrinks
    low = max(0, math.floor(start - reach))
    high = min(side.source, math.ceil(stop + reach))
    return (low, high), (start - low, min(stop, side.source) - low)
