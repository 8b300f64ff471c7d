"""Pictures and masks as they are read from a user's files and as they go into a set."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ...errors import BadSampleError
from ...media.kinds import PICTURES, check_picture_size
from ...media.opening import MOST_PIXELS
from ..mask_decoding import DEEP_MODES, UNREADABLE, read_mask
from .candidate import Unusable

_WHITE = 255


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A picture as it is meant to be seen: (H, W, 3) BGR, or (H, W, 4) with opacity if it has one.

    Raises:
        Unusable: It is missing or can't be decoded.
    """
    if not path.is_file():
        raise Unusable("missing")
    try:
        check_picture_size(path, MOST_PIXELS)
        with Image.open(path, formats=PICTURES) as image:
            if image.mode in DEEP_MODES:
                detail = f"grey of mode {image.mode}; save it with 8 bits a channel"
                raise Unusable("unreadable", detail)
            upright = ImageOps.exif_transpose(image)
            mode = "RGBA" if upright.has_transparency_data else "RGB"
            pixels = np.asarray(upright.convert(mode), np.uint8)
    except BadSampleError as error:
        raise Unusable("unreadable", error.reason) from error
    except UNREADABLE as error:
        raise Unusable("unreadable", str(error)) from error
    order = [2, 1, 0, 3][: pixels.shape[2]]
    return np.ascontiguousarray(pixels[..., order])


def read_instances(path: Path, height: int, width: int) -> NDArray[np.uint8]:
    """Instances of a mask file, numbered from 1 without gaps: (height, width).

    The file has the numbers of instances, with 255 for pixels to ignore (VOC), or one object in
    white on black, whose edge may be grey.

    Raises:
        Unusable: It can't be read, holds colours, or has another size than its photograph.
    """
    try:
        values = read_mask(path)
    except BadSampleError as error:
        raise Unusable("bad_mask", error.reason) from error
    if values.shape != (height, width):
        raise Unusable("wrong_size", f"{path.name} has {values.shape}, it {(height, width)}")
    if 2 * np.count_nonzero(values == _WHITE) > np.count_nonzero(values):
        return np.asarray(values > _WHITE // 2, np.uint8)
    numbers = np.unique(values[(values > 0) & (values < _WHITE)])
    renumbered = np.zeros(256, np.uint8)
    renumbered[numbers] = np.arange(1, len(numbers) + 1)
    return renumbered[values]


def fit_photo(image: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    """Shrink (H, W, 3) to at most ``max_side`` px; a smaller one stays as it is."""
    return np.asarray(_fit(image, max_side), np.uint8)


def fit_instances(numbered: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    """Shrink (H, W) as ``fit_photo`` does: a pixel is what covers most of it."""
    if max(numbered.shape) <= max_side:
        return numbered
    numbers = np.unique(np.append(numbered, 0))
    best = result = None
    for number in numbers:  # one by one: a photograph of a crowd has many
        share = _fit((numbered == number).astype(np.float32), max_side)
        if best is None or result is None:
            best, result = share, np.full(share.shape, number, np.uint8)
        else:
            result[share > best] = number
            best = np.maximum(best, share)
    assert result is not None
    return result


def fit_cutout(image: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    """A cut-out without its empty margin, at most ``max_side`` px: (H, W, 4) BGRA both times.

    Raises:
        ValueError: All of it is transparent.
    """
    left, top, width, height = cv2.boundingRect((image[..., 3] > 8).astype(np.uint8))
    if not width:
        raise ValueError("The cut-out is transparent all over.")
    pixels = image[top : top + height, left : left + width].astype(np.float32)
    # Colours are averaged by how opaque they are: transparent pixels have none worth keeping.
    color, opacity = pixels[..., :3], pixels[..., 3:]
    pixels = _fit(np.concatenate([color * (opacity / 255), opacity], axis=-1), max_side)
    color, opacity = pixels[..., :3], pixels[..., 3:]
    pixels = np.concatenate([color / (np.maximum(opacity, 1) / 255), opacity], axis=-1)
    return np.rint(pixels.clip(0, 255)).astype(np.uint8)


def _fit(image: NDArray, max_side: int) -> NDArray:
    height, width = image.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
