"""A predicted mask file into classes: indices, 0/255, palette, colours or a grey map."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..constants import IGNORE_INDEX
from ..datasets.mask_decoding import INDEX_MODES, UNREADABLE, decode_mask
from ..datasets.prepare.benchmarks import MaskRules
from ..errors import BadSampleError

#: What ``--encoding`` may say.
ENCODINGS = ("auto", "index", "color", "binary", "grey", "truth")
#: A mask has so many values at most; more are a grey map, or what JPEG left of a mask.
_MOST_VALUES = 32


class MaskProblem(Exception):
    """A predicted mask can't be used.

    Args:
        kind: One of ``frames.KINDS``.
        reason: What is wrong with it, part of a sentence.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


@dataclass(frozen=True)
class PredictedMask:
    """One file.

    Attributes:
        classes: Class indices, (H, W) uint8.
        prob: Probability of the object, (H, W) float32, of a grey map; else None.
    """

    classes: NDArray[np.uint8]
    prob: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class _Picture:
    """Values (H, W), or (H, W, 3) of a colour picture, and RGB colours of a palette or None."""

    values: NDArray
    mode: str
    colors: NDArray[np.uint8] | None


def read_prediction(path: Path, rules: MaskRules, encoding: str) -> PredictedMask:
    """Read a predicted mask.

    Args:
        path: PNG file.
        rules: Of the truth: the number of classes, the palette, and for 'truth' all of them.
        encoding: 'index', 'color' (of the palette), 'binary' (all but 0 is the object), 'grey' (the
            value over the highest one is the probability of the object), 'truth' (as the truth's
            files), or 'auto': 'color' for a colour picture and 'index' for others.

    Raises:
        MaskProblem: It can't be decoded, or has values that are no classes.
    """
    picture = _open(path)
    colored = picture.values.ndim == 3
    if encoding == "auto":
        encoding = "color" if colored else "index"
        if encoding == "index":
            _check_palette(picture, rules)
    label_map = rules.label_map if encoding == "truth" else None
    if encoding == "truth":
        encoding = rules.encoding
    if encoding == "binary":
        return PredictedMask(_object(picture))
    if encoding == "grey":
        prob = read_grey_values(picture.values)
        return PredictedMask((prob > 0.5).astype(np.uint8), prob)
    values = _rgb(picture) if encoding == "color" else picture.values
    if encoding == "index" and colored:
        raise MaskProblem("values", f"it is a colour picture ({picture.mode}), not one of indices")
    if values.max(initial=0) > IGNORE_INDEX:
        raise MaskProblem("values", f"it holds {values.max()}, which is no class")
    try:
        classes = decode_mask(
            values.astype(np.uint8),
            path,
            encoding=encoding,
            num_classes=rules.num_classes,
            palette=rules.palette,
            label_map=label_map,
        )
    except BadSampleError as error:
        raise MaskProblem("values", error.reason) from error
    if (classes == IGNORE_INDEX).any():
        hint = " (0 and 255 alone: an object and no class)" if _is_two_valued(values) else ""
        raise MaskProblem("values", f"the mask holds {IGNORE_INDEX}, which is no class{hint}")
    return PredictedMask(classes)


def read_plain(path: Path) -> NDArray[np.uint8]:
    """Values of a plain true mask, (H, W), or (H, W, 3) RGB of a colour picture.

    Raises:
        MaskProblem: It can't be decoded, or holds more than 255.
    """
    values = _open(path).values
    if values.dtype != bool and values.max(initial=0) > IGNORE_INDEX:
        raise MaskProblem("values", f"it holds {values.max()}, and class indices end at 255")
    return values.astype(np.uint8)


def read_grey(path: Path) -> NDArray[np.float32]:
    """Probability of the object, (H, W), of a grey map: its value over the highest possible one.

    Raises:
        MaskProblem: It can't be decoded, or is a colour picture.
    """
    return read_grey_values(_open(path).values)


def read_grey_values(values: NDArray) -> NDArray[np.float32]:
    """The same of its values (H, W): 8 or 16 bits, or 1."""
    if values.ndim == 3:
        raise MaskProblem("values", "it is a colour picture, not a grey map")
    highest = {1: 1 if values.dtype == bool else 255}.get(values.dtype.itemsize, 65535)
    return values.astype(np.float32) / np.float32(highest)


def _open(path: Path) -> _Picture:
    if not path.is_file():  # a pipe would be waited for
        linked = "a link to a file that is not there" if path.is_symlink() else "no file"
        raise MaskProblem("unreadable", f"it is {linked}")
    try:
        with Image.open(path) as image:
            palette = image.getpalette("RGB") if image.mode == "P" else None
            colors = None if palette is None else np.array(palette, np.uint8).reshape(-1, 3)
            if image.mode in INDEX_MODES:
                values = np.asarray(image)
            elif image.mode == "LA":  # what is seen through a mask is no class
                values = np.asarray(image.getchannel(0))
            else:
                values = np.asarray(image.convert("RGB"))
            return _Picture(values, image.mode, colors)
    except UNREADABLE as error:
        raise MaskProblem("unreadable", f"it can't be decoded ({error})") from error


def _object(picture: _Picture) -> NDArray[np.uint8]:
    values = picture.values
    if values.ndim == 3:
        values = values.max(axis=2)
    if values.dtype != bool and (number := len(np.unique(values))) > _MOST_VALUES:
        raise MaskProblem(
            "values", f"it holds {number} values: a grey map (--encoding grey) or a lossy copy"
        )
    return (values > 0).astype(np.uint8)


def _rgb(picture: _Picture) -> NDArray[np.uint8]:
    if picture.values.ndim == 3:
        return picture.values
    if picture.colors is None:
        raise MaskProblem("values", f"it has no colours (mode {picture.mode})")
    return picture.colors[picture.values]


def _check_palette(picture: _Picture, rules: MaskRules) -> None:
    """Where indices say one class and the palette's colours, which are the set's, another."""
    if picture.colors is None:
        return
    known: dict[tuple[int, ...], int] = {
        tuple(color): index for index, color in enumerate(rules.palette)
    }
    for index in np.unique(picture.values):
        color = tuple(picture.colors[index].tolist()) if index < len(picture.colors) else ()
        if any(color) and known.get(color, index) != index:
            raise MaskProblem(
                "values",
                f"its index {index} has the colour of class {known[color]}; say by --encoding "
                "whether 'index' or 'color' is right",
            )


def _is_two_valued(values: NDArray) -> bool:
    return values.ndim == 2 and set(np.unique(values)) == {0, IGNORE_INDEX}
