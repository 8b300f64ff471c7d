"""The figure of what is coloured when: how much of each frame of a clip each class takes.

Shorthand: N frames, C classes with background.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .colors import class_color


@dataclass(frozen=True)
class ClipAreas:
    """One clip, a row of the figure.

    Attributes:
        shares: Column's title -> share of each frame's pixels that has each class, (N, C); the
            same columns in every row.
        title: Written at the left.
    """

    shares: Mapping[str, NDArray[np.float64]]
    title: str


def class_shares(masks: Sequence[NDArray[np.integer]], num_classes: int) -> NDArray[np.float64]:
    """Share of the pixels of each class map (H, W) that has each class, (N, C)."""
    counts = [np.bincount(mask.ravel(), minlength=num_classes) / mask.size for mask in masks]
    return np.stack(counts)


def areas_figure(clips: Sequence[ClipAreas], classes: Sequence[str], fps: float) -> Figure:
    """Stacked areas over time; a mask that flickers has a ragged edge.

    Args:
        clips: At least one.
        classes: Names; index 0 is the background, which is left out.
        fps: Frames a second.
    """
    titles = list(clips[0].shares)
    size = (4 * len(titles) + 1.6, 2 * len(clips) + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(clips), len(titles), squeeze=False, sharex=True, sharey="row")
    for clip, line in zip(clips, axes, strict=True):
        present = sum(share.sum(0) for share in clip.shares.values())
        labels = [label for label in np.flatnonzero(present).tolist() if label > 0]
        for axis, share in zip(line, clip.shares.values(), strict=True):
            _draw(axis, share, labels, classes, fps)
        line[0].set_ylabel(f"{clip.title}\n% of the picture")
        if labels:
            line[-1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title)
    for axis in axes[-1]:
        axis.set_xlabel("s")
    return figure


def _draw(
    axis: Axes,
    share: NDArray[np.float64],
    labels: Sequence[int],
    classes: Sequence[str],
    fps: float,
) -> None:
    """Of classes with one colour, which comes again after seven, the next is darker each time."""
    times, colors = np.arange(len(share)) / fps, []
    bases: list[tuple[int, int, int]] = []
    for red, green, blue in map(class_color, labels):
        light = 0.6 ** bases.count((red, green, blue)) / 255
        bases.append((red, green, blue))
        colors.append((light * red, light * green, light * blue))
    if labels:
        names = [classes[label] for label in labels]
        axis.stackplot(
            times, 100 * share[:, labels].T, labels=names, colors=colors, step="post", linewidth=0
        )
    axis.set_xlim(0, len(share) / fps)
