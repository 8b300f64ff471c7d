"""Mask files to class maps, (H, W) uint8 with 255 for pixels to ignore."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..constants import IGNORE_INDEX
from ..errors import BadSampleError
from ..media.kinds import PICTURES

#: Pillow's modes of one channel of whole numbers.
INDEX_MODES = ("1", "L", "P", "I;16", "I")
#: Pillow's formats that keep no label as it was.
_LOSSY = ("JPEG", "MPO")
#: What Pillow raises at a picture that it can't decode.
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)

#: Pillow's modes of grey with more than 8 bits, of which it makes RGB by cutting all off at 255.
DEEP_MODES = ("I;16", "I;16B", "I;16L", "I", "F")


def frame_mode(path: str | Path) -> str:
    """Pillow's mode of a frame, by its header; empty where no such file is here.

    Asked before it is decoded, so that none starts a program as EPS does.
    """
    if not Path(path).is_file():
        return ""
    with Image.open(path, formats=PICTURES) as image:
        return image.mode


def read_mask(
    path: str | Path, *, color: bool = False, classes: Sequence[Sequence[int]] = ()
) -> NDArray[np.uint8]:
    """Pixel values of a mask file: (H, W), or (H, W, 3) RGB where the colours carry the classes.

    The values of a palette image are its indices.

    Args:
        path: The file.
        color: Whether the colours carry the classes.
        classes: Colours of the classes that the values are meant to be; none: not known.
    """
    try:
        with Image.open(path, formats=PICTURES) as image:
            mode, kind = image.mode, image.format
            colors = image.getpalette("RGB") if mode == "P" else None
            values = np.asarray(image.convert("RGB") if color else image)
    except FileNotFoundError as error:
        raise BadSampleError(
            path, "the mask is missing", "Check data_root and the index"
        ) from error
    except UNREADABLE as error:
        raise BadSampleError(
            path,
            f"the mask can't be decoded ({error})",
            "Extract it again or take the sample out of the index",
        ) from error
    if kind in _LOSSY:
        raise BadSampleError(
            path,
            "the mask is a JPEG, which changes values, so that other classes show at its edges",
            "Save it as PNG, from what the JPEG was made of",
        )
    if color:
        return values
    if mode not in INDEX_MODES:
        raise BadSampleError(
            path,
            f"the mask is a picture of mode {mode}, not one of class indices",
            "Use the index masks, or MASK_ENCODING = 'color' for colours of the palette; a grey "
            "picture must be saved with one channel",
        )
    if values.dtype != bool:
        for value in (values.max(initial=0), values.min(initial=0)):
            if not 0 <= value <= IGNORE_INDEX:
                raise BadSampleError(
                    path, f"the mask holds {value}", "Class indices go from 0 to 255"
                )
    if colors is not None and len(classes):
        _refuse_renumbered(values, path, np.reshape(colors, (-1, 3)).tolist(), classes)
    return values.astype(np.uint8)


def read_labels(
    path: str | Path, encoding: str, palette: Sequence[Sequence[int]]
) -> NDArray[np.uint8]:
    """What ``read_mask`` gives of a mask of that encoding, for ``decode_mask``.

    Args:
        path: The file.
        encoding: As in ``decode_mask``.
        palette: RGB colours of the file's classes.
    """
    known = palette if encoding == "index" else ()
    return read_mask(path, color=encoding == "color", classes=known)


def _refuse_renumbered(
    values: NDArray[np.uint8],
    path: str | Path,
    colors: list[list[int]],
    classes: Sequence[Sequence[int]],
) -> None:
    """Raise where a program kept the colours that occur, and numbered them anew.

    Such a palette is too short for a class whose colour, or whose number as grey, it has.
    """
    places = {tuple(color): label for label, color in enumerate(classes)}
    for value in values_in(values):
        red, green, blue = colors[value] if value < len(colors) else (0, 0, 0)
        label = places.get((red, green, blue), red if red == green == blue else 0)
        if len(colors) <= label < len(classes):
            raise BadSampleError(
                path,
                f"the mask shows class {label} under the value {value}: it was saved anew with a "
                f"palette of the {len(colors)} colours that occur, which renumbered the classes",
                "Take the original file, or save class indices as grey values (mode L)",
            )


def decode_mask(
    values: NDArray[np.uint8],
    path: str | Path,
    *,
    encoding: str,
    num_classes: int,
    palette: Sequence[Sequence[int]],
    label_map: Mapping[int, int] | None,
) -> NDArray[np.uint8]:
    """Class map (H, W) of the values of a mask file; a value that means nothing is an error.

    Args:
        values: (H, W), or (H, W, 3) with ``encoding='color'``.
        path: The file, for the error message.
        encoding: ``'index'``: class indices; ``'color'``: colours of the palette, that is their
            places in it; both through ``label_map`` if there is one. ``'binary'``: all that is not
            0 is class 1.
        num_classes: C, with background.
        palette: RGB colours of the file's classes.
        label_map: Index in the file -> class; None where they are the same.
    """
    if encoding == "binary":
        return (values > 0).astype(np.uint8)
    if encoding == "color":
        values = _palette_indices(values, path, palette)
    known = range(num_classes) if label_map is None else label_map
    unknown = [value for value in values_in(values) if value not in known and value != IGNORE_INDEX]
    _refuse(path, np.array(unknown), "value", f"one of the {num_classes} classes")
    if label_map is None:
        return values
    table = np.full(256, IGNORE_INDEX, dtype=np.uint8)
    table[list(label_map)] = list(label_map.values())
    table[IGNORE_INDEX] = IGNORE_INDEX
    return table[values]


def values_in(classes: NDArray[np.uint8]) -> list[int]:
    """Values that occur in a map (H, W), rising; ``np.unique`` would sort all of its pixels."""
    counts = cv2.calcHist([classes], [0], None, [256], [0, 256])
    return np.flatnonzero(counts).tolist()


def _palette_indices(
    values: NDArray[np.uint8], path: str | Path, palette: Sequence[Sequence[int]]
) -> NDArray[np.uint8]:
    """Places in the palette of colours (H, W, 3): (H, W)."""
    codes = values.astype(np.int32) @ _RGB_CODE
    colors = np.asarray(palette, dtype=np.int32) @ _RGB_CODE
    order = np.argsort(colors)
    nearest = order[np.searchsorted(colors, codes, sorter=order).clip(max=len(colors) - 1)]
    _refuse(path, values[colors[nearest] != codes], "colour", "a colour of the palette")
    return nearest.astype(np.uint8)


_RGB_CODE = np.array([1 << 16, 1 << 8, 1], dtype=np.int32)


def _refuse(path: str | Path, unknown: NDArray[np.uint8], kind: str, expected: str) -> None:
    if unknown.size:
        found = np.unique(unknown, axis=0)[:5].tolist()
        raise BadSampleError(
            path,
            f"the mask holds the {kind} {', '.join(map(str, found))}, which is not {expected}",
            "Check that the masks belong to this data set and are of its encoding (MASK_ENCODING: "
            "'index', 'color', or 'binary' where anything but 0 is the object)",
        )
