"""Fast pictures of masks for video: numpy and OpenCV only, a few milliseconds a frame.

Shorthand: H W picture size. Pictures are (H, W, 3) uint8 RGB.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .colors import class_color, class_pattern

Picture = NDArray[np.uint8]
_DARK, _LIGHT = (20, 20, 24), (255, 255, 255)
_PLAIN, _DENSE = 0.30, 0.60  # opacity between and on the hatching's lines
_SMALLEST_LABELLED = 0.002  # share of the picture below which an object carries no name


@lru_cache(maxsize=256)
def _text(text: str, size: int) -> NDArray[np.float32]:
    """Opacity of a line of text, (h, w, 1) in [0, 1]; the font is matplotlib's DejaVu Sans."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    font = ImageFont.truetype(str(path), size)
    width = int(font.getlength(text)) + 2
    line = Image.new("L", (width, round(size * 1.3)))
    ImageDraw.Draw(line).text((1, 0), text, font=font, fill=255)
    return np.asarray(line, np.float32)[..., None] / np.float32(255)


def text_size(text: str, size: int) -> tuple[int, int]:
    """Width and height in pixels of a line of text."""
    height, width = _text(text, size).shape[:2]
    return width, height


def put_text(picture: Picture, text: str, x: int, y: int, size: int) -> None:
    """Write a line with its upper left corner at (x, y); what falls outside is cut off."""
    alpha = _text(text, size)[max(0, -y) :, max(0, -x) :]
    x, y = max(0, x), max(0, y)
    area = picture[y : y + alpha.shape[0], x : x + alpha.shape[1]]
    alpha = alpha[: area.shape[0], : area.shape[1]]
    area[:] = area * (1 - alpha) + np.asarray(_LIGHT, np.float32) * alpha


def put_box(picture: Picture, x: int, y: int, width: int, height: int) -> None:
    """Darken a rectangle so that white text can be read on it."""
    x, y = max(0, x), max(0, y)
    area = picture[y : y + height, x : x + width]
    area[:] = area * 0.3 + np.asarray(_DARK, np.float32) * 0.7


def font_size(height: int, width: int) -> int:
    """Pixels of text that suit a picture."""
    return int(np.clip(min(height, width) / 22, 9, 120))


class MaskPainter:
    """Draws a class map on a picture: hatched colour, contour, name, and a legend.

    Args:
        classes: Names; index 0 is the background, which stays as it is.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)

    def paint(
        self,
        picture: Picture,
        class_map: NDArray[np.integer],
        *,
        scores: Mapping[int, float] | None = None,
        caption: str | None = None,
    ) -> Picture:
        """Draw objects and legend on a copy.

        Args:
            picture: (H, W, 3) uint8 RGB.
            class_map: (H, W); values that are no class (255: ignored) are not drawn.
            scores: Per label in [0, 1], for the legend.
            caption: A heading of the legend, such as 'truth'.
        """
        drawn = self.paint_objects(picture, class_map)
        self._legend(drawn, self.labels(class_map), scores or {}, caption)
        return drawn

    def paint_objects(self, picture: Picture, class_map: NDArray[np.integer]) -> Picture:
        """Draw on a copy, without a legend; see ``paint``."""
        drawn = np.ascontiguousarray(picture).copy()
        masks = {k: (class_map == k).astype(np.uint8) for k in self.labels(class_map)}
        for label, mask in masks.items():
            self._fill(drawn, mask, label)
        for label, mask in masks.items():
            if mask.sum() >= _SMALLEST_LABELLED * class_map.size:
                self._name(drawn, mask, label)
        return drawn

    def labels(self, class_map: NDArray[np.integer]) -> list[int]:
        """Classes that a map shows, without the background."""
        shown = class_map[(class_map > 0) & (class_map < len(self.classes))]
        return np.flatnonzero(np.bincount(shown)).tolist()  # np.unique would sort all pixels

    def _fill(self, drawn: Picture, mask: Picture, label: int) -> None:
        x, y, width, height = cv2.boundingRect(mask)
        area = drawn[y : y + height, x : x + width]
        period = max(8, min(drawn.shape[:2]) // 24)
        tiles = np.where(class_pattern(label, period), _DENSE, _PLAIN).astype(np.float32)
        tiles = np.tile(tiles, (height // period + 2, width // period + 2))
        # Anchored to the picture, not to the box, or the hatching would jump with the object.
        tiles = tiles[y % period :, x % period :][:height, :width]
        alpha = tiles * mask[y : y + height, x : x + width]
        color = np.empty_like(area)
        color[:] = class_color(label)
        area[:] = cv2.blendLinear(np.ascontiguousarray(area), color, 1 - alpha, alpha)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        thick = max(1, min(drawn.shape[:2]) // 240)
        cv2.drawContours(drawn, contours, -1, _LIGHT, thick + 2, cv2.LINE_AA)
        cv2.drawContours(drawn, contours, -1, class_color(label), thick, cv2.LINE_AA)

    def _name(self, drawn: Picture, mask: Picture, label: int) -> None:
        # The innermost point of the object; padded, so that the picture's edge counts as one.
        depth = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 3)
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        size = font_size(*drawn.shape[:2])
        width, height = text_size(self.classes[label], size)
        left = int(np.clip(x - width // 2, 2, max(2, drawn.shape[1] - width - 2)))
        top = int(np.clip(y - height // 2, 2, max(2, drawn.shape[0] - height - 2)))
        put_box(drawn, left - 2, top - 1, width + 4, height + 2)
        put_text(drawn, self.classes[label], left, top, size)

    def _legend(
        self, drawn: Picture, labels: list[int], scores: Mapping[int, float], caption: str | None
    ) -> None:
        size = font_size(*drawn.shape[:2])
        rows = [caption] if caption else []
        rows += [
            f"{self.classes[k]} {scores[k]:.0%}" if k in scores else self.classes[k] for k in labels
        ]
        if not labels:
            rows.append("no object sounds")
        step = round(size * 1.5)
        swatch = [0] * (len(rows) - max(1, len(labels))) + (labels or [0])
        indent = step if labels else 0
        width = max(text_size(row, size)[0] for row in rows) + indent + size
        put_box(drawn, 0, 0, width, step * len(rows) + size // 2)
        for index, (row, label) in enumerate(zip(rows, swatch, strict=True)):
            top = size // 4 + index * step
            if label:
                self._swatch(drawn, label, size // 2, top + size // 6, size)
            put_text(drawn, row, size // 2 + (indent if label else 0), top, size)

    @staticmethod
    def _swatch(drawn: Picture, label: int, x: int, y: int, size: int) -> None:
        area = drawn[y : y + size, x : x + size]
        pattern = np.tile(class_pattern(label, 8), (size // 8 + 1, size // 8 + 1))
        shade = np.where(pattern, 1.0, 0.45)[: area.shape[0], : area.shape[1], None]
        area[:] = shade * np.asarray(class_color(label))
        cv2.rectangle(drawn, (x, y), (x + size - 1, y + size - 1), _LIGHT, 1)
