"""Convolution with TensorFlow's SAME padding, which weights that were trained there expect."""

from torch import Tensor, nn
from torch.nn import functional as F


class SameConv2d(nn.Conv2d):
    """Pads for ``ceil(size / stride)`` cells: where that is uneven, one more at the far side.

    ``padding`` is not read. MMCV's Conv2dAdaptivePadding gives the same numbers, but copies the map
    even where both sides are padded alike, and reckons in floating point, after which torch.export
    can't simplify sizes: a graph of free size takes minutes.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', ceil(H / stride), ceil(W / stride))."""
        (top, bottom), (left, right) = (self._padding(x.shape[2 + axis], axis) for axis in (0, 1))
        if bottom > top or right > left:
            x = F.pad(x, (0, right - left, 0, bottom - top))
        return F.conv2d(
            x, self.weight, self.bias, self.stride, (top, left), self.dilation, self.groups
        )

    def _padding(self, size: int, axis: int) -> tuple[int, int]:
        """Cells before the first and behind the last."""
        # From the last window's first cell to the end of the map.
        last = size % self.stride[axis] or self.stride[axis]
        reach = self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
        total = max(reach - last, 0)
        return total // 2, total - total // 2
