"""One sample as training gets it: augmented picture, label map, sound, and what sounds.

Shorthand: H W picture size, A audio channels, L samples.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..constants import IGNORE_INDEX
from .av_visualizer import enlarge, window_strip
from .drawing import MaskPainter, Picture, font_size, put_box, put_text, text_size

_IGNORED = 127  # grey: pixels that no loss looks at


def draw_training_sample(
    picture: Picture,
    labels: NDArray[np.integer] | None,
    sounds: Mapping[str, NDArray[np.float32]],
    classes: Sequence[str],
) -> Picture:
    """The picture bare and with its labels, above a spectrogram of each sound.

    Args:
        picture: (H, W, 3) uint8 RGB.
        labels: (H, W), 255 where no loss looks, which is drawn grey; None where there are none.
        sounds: Caption, such as the classes that sound -> (A, L) at 16 kHz.
        classes: Names; index 0 is the background.
    """
    bare, factor = enlarge(picture)
    panels = [bare]
    if labels is not None:
        large = np.kron(labels, np.ones((factor, factor), labels.dtype))
        ground = np.where((large == IGNORE_INDEX)[..., None], np.uint8(_IGNORED), bare)
        panels.append(MaskPainter(classes).paint(ground, large, caption="labels"))
    rows = [np.concatenate(panels, axis=1)]
    size = font_size(*bare.shape[:2])
    for caption, waveform in sounds.items():
        strip = window_strip(waveform, rows[0].shape[1])
        width, height = text_size(caption, size)
        left = max(0, strip.shape[1] - width - size)
        put_box(strip, left, 0, width + size, height + 2)
        put_text(strip, caption, left + size // 2, 1, size)
        rows.append(strip)
    return np.concatenate(rows)
