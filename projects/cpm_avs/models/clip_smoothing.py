"""Steadier masks along a clip: what a query says is averaged over time, and labels hold on.

    p_t = w p_{t-1} + (1 - w) softmax(cls_t),  m_t = w m_{t-1} + (1 - w) mask_t,  w = exp(-dt / s)

p and m are the class probabilities and mask logits of a query, which is one through all frames by
its number, dt the time since the frame before: an exponential moving average of time constant s,
the same for any frame rate. Then a pixel leaves the label that it had for one that claims it by a
margin more (hysteresis). Nothing is learned, and nothing of the frames to come is used.

Shorthand: Q queries, C classes with background, h w masks, H W output size.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from .mask_merge import best_of_max
from .resizing import Resize


@dataclass(frozen=True)
class SmoothFrame:
    """A frame of a clip as it was drawn, which the next one goes on from.

    Attributes:
        time: In the clip, seconds.
        probabilities: p, (Q, C + 1).
        mask_logits: m, (Q, h, w).
        scores: Of each pixel's label, (1, H, W).
        labels: (1, H, W) int64.
    """

    time: float
    probabilities: Tensor
    mask_logits: Tensor
    scores: Tensor
    labels: Tensor


class ClipSmoothing:
    """Draws the frames of a clip, each by what was drawn before.

    Args:
        seconds: s.
        margin: By how much a label's claim on a pixel, in [0, 1], must exceed that of the label
            that the pixel had.
    """

    def __init__(self, *, seconds: float, margin: float) -> None:
        if not 0 < seconds < math.inf:
            raise ValueError(
                f"smoothing.seconds is {seconds!r}; give a time above 0, or leave smoothing out"
            )
        if not 0 <= margin < 1:
            raise ValueError(f"smoothing.margin is {margin!r}; give a number from 0 up to 1")
        self.seconds, self.margin = seconds, margin

    def __call__(
        self,
        cls_logits: Tensor,
        mask_logits: Tensor,
        resize: Resize,
        time: float,
        before: SmoothFrame | None,
    ) -> SmoothFrame:
        """Draw a frame.

        Args:
            cls_logits: (Q, C + 1), the last class is no-object.
            mask_logits: (Q, h, w).
            resize: Brings mask logits (q, h, w) to the output size (q, H, W).
            time: Of the frame, seconds.
            before: The frame before; None at a clip's beginning. One of another size or of a later
                time is none.
        """
        probabilities, masks = cls_logits.float().softmax(-1), mask_logits.float()
        size = resize(masks[:0]).shape[-2:]
        labels = None
        if (
            before is not None
            and before.time < time
            and before.mask_logits.shape == masks.shape
            and before.labels.shape[-2:] == size
        ):
            weight = 1 - math.exp((before.time - time) / self.seconds)
            probabilities = before.probabilities.lerp(probabilities, weight)
            masks, labels = before.mask_logits.lerp(masks, weight), before.labels
        # The logarithm of probabilities are logits of theirs.
        drawn = best_of_max(probabilities.log(), masks, resize, labels, self.margin)
        return SmoothFrame(time, probabilities, masks, *drawn)
