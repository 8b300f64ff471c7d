"""Colours and hatchings that tell classes apart, for colour-blind people too."""

import numpy as np
from numpy.typing import NDArray

# Okabe & Ito 2008, without black, in the order in which neighbours differ most on a photograph.
OKABE_ITO = (
    (213, 94, 0),  # vermillion
    (86, 180, 233),  # sky blue
    (0, 158, 115),  # bluish green
    (240, 228, 66),  # yellow
    (0, 114, 178),  # blue
    (204, 121, 167),  # reddish purple
    (230, 159, 0),  # orange
)

# The same colours for lines on white, where yellow is too faint, and styles for print and more.
LINE_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("-", "--", "-.", ":")


def class_color(label: int) -> tuple[int, int, int]:
    """RGB of a class; label 0 is the background, and seven classes on the colour comes again."""
    return OKABE_ITO[(label - 1) % len(OKABE_ITO)]


def class_pattern(label: int, period: int = 12) -> NDArray[np.bool_]:
    """Hatching of a class, (period, period), to be tiled: True where it is drawn denser.

    The first seven classes are plain, the next seven have stripes, and so on: with the colour that
    tells 84 classes apart. What lies on a picture also carries its name.
    """
    y, x = np.mgrid[:period, :period]
    third = max(1, period // 3)
    rising, falling = (x + y) % period < third, (x - y) % period < third
    rows, columns = y < third, x < third
    half = (x + y) % (period // 2) < max(1, period // 6)
    dots = (x - period / 2) ** 2 + (y - period / 2) ** 2 < (period / 3) ** 2
    patterns = (
        np.ones_like(rows), rising, falling, rows, columns, rising | falling, rows | columns,
        dots, ~dots, half, (x < period // 2) ^ (y < period // 2), ~(rows | columns),
    )  # fmt: skip
    return patterns[(label - 1) // len(OKABE_ITO) % len(patterns)]
