"""One frame: two mask files into counts, and what is wrong with the predicted one."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..constants import IGNORE_INDEX
from ..datasets.mask_decoding import decode_mask, read_labels
from ..errors import BadSampleError, UserError
from ..evaluation.frame_counts import PROTOCOLS, frame_counts, no_credit
from ..evaluation.streaming import Counts
from .reading import MaskProblem, PredictedMask, read_grey, read_plain, read_prediction
from .truth import Truth, TruthFrame

#: The third family: object against the rest at one size, clip by clip.
FOREGROUND = "foreground"


@dataclass(frozen=True)
class Rules:
    """How masks are scored.

    Attributes:
        protocols: Of ``PROTOCOLS`` and ``FOREGROUND``.
        encoding: How predicted files carry classes, see ``read_prediction``; 'auto' means 'binary'
            where two classes are scored.
        size: None: a mask must have the truth's size. 'truth': it is resized to it. (width,
            height): both are resized to that, as by the benchmarks' 224 protocol.
        foreground_size: Width and height of both for ``FOREGROUND``.
    """

    protocols: tuple[str, ...]
    encoding: str = "auto"
    size: str | tuple[int, int] | None = None
    foreground_size: tuple[int, int] = (1024, 1024)


@dataclass(frozen=True)
class Problem:
    """Why a frame's predicted mask was of no use.

    Attributes:
        kind: One of ``KINDS``.
        path: The file, or of a missing one the name that was looked for.
        reason: Part of a sentence.
    """

    kind: str
    path: str
    reason: str


#: What may be wrong with a mask, in the order of the reports.
KINDS = dict(
    missing="no file of the frame's name",
    unreadable="the file is no picture that can be decoded",
    size="another size than the truth's",
    values="values that are no classes of the truth",
)


@dataclass(frozen=True)
class FrameFiles:
    """What is read of a frame.

    Attributes:
        frame: Of the truth.
        path: The predicted mask; None where there is none.
        grey: Its grey map of the object's probability; None where none is used.
    """

    frame: TruthFrame
    path: Path | None
    grey: Path | None = None


@dataclass(frozen=True)
class FrameResult:
    """Counts of a frame, empty where the protocol is not scored."""

    counts: Counts = field(default_factory=dict)
    foreground: Counts = field(default_factory=dict)
    problem: Problem | None = None


def score_frame(files: FrameFiles, truth: Truth, rules: Rules) -> FrameResult:
    """Count one frame; a mask that is missing or useless earns nothing.

    Raises:
        UserError: The truth's mask or the grey map can't be used.
    """
    label = read_label(files.frame.path, truth)
    problem = None
    mask: PredictedMask | None = None
    try:
        mask = _read_mask(files, truth, rules)
    except MaskProblem as error:
        # A name is shown as it was looked for, a file as it is.
        shown = files.path or files.frame.names[0].with_suffix(".png")
        problem = Problem(error.kind, str(shown), error.reason)
    foreground = _foreground_counts(mask, label, rules) if FOREGROUND in rules.protocols else {}
    protocols = [name for name in rules.protocols if name in PROTOCOLS]
    if not protocols:
        return FrameResult({}, foreground, problem)
    if isinstance(rules.size, tuple):
        label = resized(label, rules.size)
    if mask is not None and rules.size is not None:
        mask = _resized_mask(mask, (label.shape[1], label.shape[0]))
    if mask is not None and mask.classes.shape != label.shape:
        (height, width), (rows, columns) = mask.classes.shape, label.shape
        reason = f"it is {width}x{height} px, the truth {columns}x{rows}"
        problem, mask = Problem("size", str(files.path), reason), None
    number = len(truth.classes)
    if mask is None:
        counts = no_credit(torch.from_numpy(label), number, protocols=protocols)
    else:
        counts = frame_counts(
            torch.from_numpy(mask.classes),
            torch.from_numpy(label),
            number,
            prob=None if mask.prob is None else torch.from_numpy(mask.prob),
            protocols=protocols,
        )
    return FrameResult(counts, foreground, problem)


def read_label(path: Path, truth: Truth) -> NDArray[np.uint8]:
    """Class map (H, W) of the truth, 255 where nothing is scored.

    Raises:
        UserError: The file is missing, can't be decoded or has values that mean nothing.
    """
    rules, encoding = truth.masks, truth.masks.encoding
    try:
        if truth.layout == "plain":
            values = read_plain(path)
            if values.ndim == 3 and encoding == "binary":
                values = values.max(axis=2)
            elif values.ndim == 3:
                encoding = "color"
        else:
            values = read_labels(path, encoding, rules.palette)
        label = decode_mask(
            values,
            path,
            encoding=encoding,
            num_classes=rules.num_classes,
            palette=rules.palette,
            label_map=rules.label_map,
        )
    except (BadSampleError, MaskProblem) as error:
        remedy = (
            "tools/prepare_data.py check finds all such files and writes an index without them "
            "(--fix-index), which --index takes"
            if truth.split
            else "Take it out of the folder, or say by --classes what the values mean"
        )
        raise UserError(f"{path}: in the truth, {error.reason}. {remedy}") from error
    if len(truth.classes) < rules.num_classes:
        label = as_object(label)
    return label


def as_object(label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """All classes but the background as 1; what is ignored stays so."""
    return np.where(label == IGNORE_INDEX, label, label > 0).astype(np.uint8)


def resized(values: NDArray, size: tuple[int, int]) -> NDArray:
    """Nearest neighbour by Pillow, as ``ResizeForProtocol`` and the benchmarks' scripts have it.

    Args:
        values: (H, W) uint8 or float32.
        size: Width and height.
    """
    if (values.shape[1], values.shape[0]) == size:
        return values
    return np.array(Image.fromarray(values).resize(size, Image.Resampling.NEAREST))


def _read_mask(files: FrameFiles, truth: Truth, rules: Rules) -> PredictedMask:
    if files.path is None:
        raise MaskProblem("missing", "there is no such file")
    binary = len(truth.classes) == 2
    encoding = "binary" if binary and rules.encoding == "auto" else rules.encoding
    mask = read_prediction(files.path, truth.masks, encoding)
    if binary and truth.masks.num_classes > 2:
        mask = PredictedMask(as_object(mask.classes), mask.prob)
    if files.grey is None:
        return mask
    try:
        prob = read_grey(files.grey)
    except MaskProblem as error:
        raise UserError(f"{files.grey}: {error}. Write the probabilities again") from error
    if prob.shape != mask.classes.shape:
        raise UserError(
            f"{files.grey}: it is {prob.shape[1]}x{prob.shape[0]} px, its mask {files.path} "
            f"{mask.classes.shape[1]}x{mask.classes.shape[0]}. Both must come from one run"
        )
    return PredictedMask(mask.classes, prob)


def _resized_mask(mask: PredictedMask, size: tuple[int, int]) -> PredictedMask:
    prob = None if mask.prob is None else resized(mask.prob, size)
    return PredictedMask(resized(mask.classes, size), prob)


def _foreground_counts(
    mask: PredictedMask | None, label: NDArray[np.uint8], rules: Rules
) -> Counts:
    labels = torch.from_numpy(resized(as_object(label), rules.foreground_size))
    if mask is None:
        return no_credit(labels, 2, protocols=("avsbench",))
    mask = _resized_mask(mask, rules.foreground_size)
    return frame_counts(
        torch.from_numpy(as_object(mask.classes)),
        labels,
        2,
        prob=None if mask.prob is None else torch.from_numpy(mask.prob),
        protocols=("avsbench",),
    )
