"""A picture of what a search found: each stretch where its object is largest.

Shorthand: H W size of a frame.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ..errors import BadSampleError
from ..inference.results import fit_class_map
from ..media.video_io import read_frames
from ..visualization.drawing import MaskPainter, Picture
from . import run_lengths
from .search import Hit, Search

_COLUMNS = 4


def hit_sheet(search: Search, name: str, hits: Sequence[Hit]) -> Figure:
    """A tile a stretch, in their order; one whose video is gone says so.

    Args:
        search: Where they were found.
        name: Of the class.
        hits: At least one.
    """
    columns = min(_COLUMNS, len(hits))
    rows = math.ceil(len(hits) / columns)
    figure = Figure(figsize=(3.2 * columns, 2.7 * rows + 0.4), layout="constrained")
    figure.suptitle(name)
    painter = MaskPainter(search.classes)
    for axis, hit in zip(figure.subplots(rows, columns, squeeze=False).flat, hits, strict=False):
        axis.set_title(
            f"{hit.video}\n{hit.start:.1f}-{hit.end:.1f} s", fontsize="x-small", wrap=True
        )
        try:
            axis.imshow(_tile(search, painter, name, hit))
        except BadSampleError as error:
            axis.text(0.5, 0.5, error.reason, ha="center", va="center", wrap=True)
    for axis in figure.axes:
        axis.axis("off")
    return figure


def _tile(search: Search, painter: MaskPainter, name: str, hit: Hit) -> Picture:
    """(H, W, 3) uint8 RGB."""
    found = search.largest(hit, name)
    time = hit.start if found is None else found.time
    frame = next(read_frames(hit.path, start=max(0.0, time - 1e-3)), None)
    if frame is None:
        raise BadSampleError(hit.path, f"has no frame at {time:.2f} s", "Is it the same file?")
    picture = np.ascontiguousarray(frame.image[..., ::-1])
    if found is None:
        return picture
    labels = run_lengths.decode(found.segmentation).astype(np.uint8) * np.uint8(found.label)
    return painter.paint_objects(picture, fit_class_map(labels, picture.shape[:2]))
