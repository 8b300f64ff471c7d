"""The way of masks from the network's size back to that of the original picture."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .memory_layout import interpolated

#: Brings masks (q, h, w) to their final size (q, H, W).
Resize = Callable[[Tensor], Tensor]


def resizer(padded: Sequence[int], cropped: Sequence[int], original: Sequence[int]) -> Resize:
    """Undo what happened to an image on its way in: upsample, cut the padding off, resize back.

    Args:
        padded: (H, W) of the batch.
        cropped: (H, W) of this image without padding at bottom and right.
        original: (H, W) that the prediction shall have.

    Returns:
        Resize: From (q, h, w) to (q, *original).
    """

    def interpolate(masks: Tensor, size: Sequence[int]) -> Tensor:
        if tuple(masks.shape[-2:]) == tuple(size):
            return masks
        return interpolated(masks[None], size)[0]

    def resize(masks: Tensor) -> Tensor:
        if len(masks) == 0:  # no query found anything
            return masks.new_zeros(0, *original, dtype=torch.float)
        masks = interpolate(masks.float(), padded)[:, : cropped[0], : cropped[1]]
        return interpolate(masks, original)

    return resize
