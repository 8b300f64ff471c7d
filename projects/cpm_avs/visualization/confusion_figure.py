"""The confusion matrix of a test as a figure that can be read for 2 as for 71 classes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

_WITH_NUMBERS = 30  # classes up to which there is room for a number in each cell


def confusion_figure(
    matrix: NDArray[np.integer],
    classes: Sequence[str],
    *,
    title: str = "Normalized Confusion Matrix",
    color_theme: str = "cividis",
) -> Figure:
    """Share of each true class's pixels that were given to each class, in percent.

    Args:
        matrix: (C, C) pixels, with rows of truth; a row without any is left white.
        classes: Names.
        title: Above the figure.
        color_theme: A colour map of matplotlib.
    """
    total = matrix.sum(1, keepdims=True)
    percent = np.divide(100.0 * matrix, total, out=np.full(matrix.shape, np.nan), where=total > 0)
    side = 2.5 + (0.42 if len(classes) <= _WITH_NUMBERS else 0.2) * len(classes)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axis = figure.add_subplot()
    shown = axis.imshow(percent, cmap=color_theme, vmin=0, vmax=100)
    figure.colorbar(shown, label="percent of the true class", shrink=0.8)
    places = range(len(classes))
    axis.set_xticks(places, classes, rotation=90, fontsize="small")
    axis.set_yticks(places, classes, fontsize="small")
    axis.set(title=title, xlabel="prediction", ylabel="truth")
    if len(classes) <= _WITH_NUMBERS:
        for row, column in np.argwhere(percent >= 0.5):
            value = percent[row, column]
            red, green, blue, _ = shown.cmap(value / 100)
            dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
            axis.text(
                column, row, f"{value:.0f}", ha="center", va="center",
                fontsize="x-small", color="white" if dark else "black",
            )  # fmt: skip
    return figure
