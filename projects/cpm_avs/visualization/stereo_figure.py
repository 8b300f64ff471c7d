"""The figure of a sound that is panned from one instance of a class to the other.

Shorthand: H W picture size, N scenes, S steps of the pan.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .av_visualizer import enlarge
from .colors import LINE_COLORS
from .drawing import MaskPainter
from .plots import show

_COLUMNS = 5  # pictures of a scene


@dataclass(frozen=True)
class PanRow:
    """One scene.

    Attributes:
        picture: (H, W, 3) uint8 RGB.
        sounds: Where the sound is in each picture of the row, from 0 to 1 of the width.
        predictions: Class map of each, (H, W).
        title: Of the row.
    """

    picture: NDArray[np.uint8]
    sounds: Sequence[float]
    predictions: Sequence[NDArray[np.integer]]
    title: str


def pan_row(
    picture: NDArray[np.uint8],
    places: Sequence[float],
    maps: Sequence[NDArray[np.integer]],
    title: str,
) -> PanRow:
    """The row of a whole pan, of which some steps are shown, evenly spaced.

    Args:
        picture: (H, W, 3) uint8 RGB.
        places: Of the sound at each step, from 0 to 1 of the width.
        maps: Class map of each step, (H, W).
        title: Of the row.
    """
    shown = np.linspace(0, len(places) - 1, min(_COLUMNS, len(places))).round().astype(int)
    return PanRow(picture, [places[n] for n in shown], [maps[n] for n in shown], title)


def pan_figure(
    rows: Sequence[PanRow],
    classes: Sequence[str],
    shares: NDArray[np.float64],
    steps: NDArray[np.float64],
) -> Figure:
    """Some scenes with their masks, and below them the means of all.

    Args:
        rows: Scenes that are shown, with as many pictures each.
        classes: Names; index 0 is the background.
        shares: Coloured share of the left and the right instance, (N, S, 2).
        steps: Places of the sound, 0 at the left instance and 1 at the right one, (S,).
    """
    columns = len(rows[0].sounds)
    figure = Figure(figsize=(2.2 * columns, 2.3 * len(rows) + 3.4), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=(2.3 * len(rows), 3.4))
    above, below = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    painter = MaskPainter(classes)
    for row, line in zip(rows, above.subplots(len(rows), columns, squeeze=False), strict=True):
        picture, factor = enlarge(row.picture)
        for axis, sound, labels in zip(line, row.sounds, row.predictions, strict=True):
            large = np.kron(labels, np.ones((factor, factor), labels.dtype))
            show(axis, painter.paint_objects(picture, large))
            axis.axvline(sound * picture.shape[1], color="white", linestyle="--", linewidth=1.5)
            axis.set_xlabel(f"sound at {sound:.2f}", fontsize="small")
        line[0].set_ylabel(row.title)
    _draw_shares(below.subplots(), shares, steps)
    return figure


def _draw_shares(axis: Axes, shares: NDArray[np.float64], steps: NDArray[np.float64]) -> None:
    for number, name in enumerate(("left instance", "right instance")):
        own, color = 100 * shares[..., number], LINE_COLORS[number]
        axis.plot(steps, own.mean(0), color=color, label=name)
        low, high = np.percentile(own, (25, 75), axis=0)
        axis.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)
    axis.axvline(0.5, color="gray", linestyle=":")
    axis.set(
        xlabel="place of the sound: 0 at the left instance, 1 at the right one",
        ylabel="share of the instance\nthat is coloured (%)",
        title=f"mean of {len(shares)} scenes, and the middle half of them",
        ylim=(0, 100),
    )
    axis.legend()
    axis.grid(alpha=0.3)
