"""Flicker: labels of static objects that change from frame to frame while the sound goes on.

    flicker = sum_t |{p in still_t : label_t(p) != label_{t-1}(p)}| / sum_t |still_t|

still_t are the pixels that show the same object in frames t - 1 and t; both sums go over the frames
at which the same objects sound as in the frame before. It is 0 for the truth.
"""

from collections.abc import Set
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


def flicker_counts(
    labels: tuple[NDArray[np.integer], NDArray[np.integer]],
    owners: tuple[NDArray[np.integer], NDArray[np.integer]],
) -> tuple[int, int]:
    """Pixels whose label changes, and pixels that show the same object, in two frames.

    Args:
        labels: Predicted classes of a frame and of the next one, (H, W) each.
        owners: Which object a pixel shows in both, sounding or not, (H, W) each; 0: none.
    """
    still = (owners[0] == owners[1]) & (owners[1] > 0)
    changed = still & (labels[0] != labels[1])
    return int(changed.sum()), int(still.sum())


@dataclass
class Flicker:
    """Adds up the frames of clips, of which it keeps the last one.

    Attributes:
        changed: Pixels of static objects whose label changed.
        counted: Pixels of static objects.
    """

    changed: int = 0
    counted: int = 0
    _last: tuple[NDArray[np.integer], NDArray[np.integer], Set[int]] | None = field(
        default=None, repr=False
    )

    def begin_clip(self) -> None:
        """What comes next does not follow on what came before."""
        self._last = None

    def add(
        self, labels: NDArray[np.integer], owners: NDArray[np.integer], sounding: Set[int]
    ) -> None:
        """Take the next frame of a clip.

        Args:
            labels: Predicted classes, (H, W).
            owners: Which object a pixel shows, (H, W); 0: none.
            sounding: The objects that sound.
        """
        if self._last is not None and self._last[2] == sounding:
            before, shown, _ = self._last
            changed, counted = flicker_counts((before, labels), (shown, owners))
            self.changed += changed
            self.counted += counted
        self._last = (labels, owners, sounding)

    @property
    def share(self) -> float:
        """Of changed pixels among those counted, in [0, 1]; NaN where none was."""
        return self.changed / self.counted if self.counted else float("nan")
