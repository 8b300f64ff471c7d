"""TensorFlow's SAME padding: sums worked out by hand, MMCV's layer, and a graph of free size."""

import numpy as np
import pytest
import torch
from mmcv.cnn.bricks import Conv2dAdaptivePadding
from torch import nn

from projects.cpm_avs.models.same_conv import SameConv2d


@pytest.mark.parametrize(
    ("length", "stride", "expected"),
    [
        # Ones as kernel of 3. TensorFlow pads an even length at the far side only with stride 2.
        (4, 2, [1 + 2 + 3, 3 + 4]),
        (5, 2, [1 + 2, 2 + 3 + 4, 4 + 5]),
        (4, 1, [1 + 2, 1 + 2 + 3, 2 + 3 + 4, 3 + 4]),
        (1, 2, [1]),
    ],
)
def test_sums_of_windows(length: int, stride: int, expected: list[float]) -> None:
    conv = SameConv2d(1, 1, (3, 3), stride=stride, bias=False)
    nn.init.ones_(conv.weight)
    row = torch.arange(1.0, length + 1).expand(1, 1, 1, length)
    np.testing.assert_allclose(conv(row)[0, 0, 0].detach(), expected)
    np.testing.assert_allclose(conv(row.mT)[0, 0, :, 0].detach(), expected)


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 5, (3, 4)])
def test_mmcvs_layer_agrees(kernel: int | tuple[int, int], stride: int, dilation: int) -> None:
    torch.manual_seed(0)
    options = dict(stride=stride, dilation=dilation, groups=2)
    conv = SameConv2d(2, 4, kernel, padding=1, **options)
    other = Conv2dAdaptivePadding(2, 4, kernel, **options)
    other.load_state_dict(conv.state_dict())
    for height, width in [(7, 8), (9, 10), (1, 3)]:
        image = torch.randn(2, 2, height, width)
        torch.testing.assert_close(conv(image), other(image))


def test_a_graph_of_free_size_pads_as_the_layer() -> None:
    conv = SameConv2d(1, 1, 5, stride=2)
    sides = {2: 2 * torch.export.Dim("rows", min=2), 3: 2 * torch.export.Dim("columns", min=2)}
    program = torch.export.export(
        conv, (torch.randn(1, 1, 8, 12),), dynamic_shapes=(sides,), strict=False
    )
    image = torch.randn(1, 1, 16, 6)
    torch.testing.assert_close(program.module()(image), conv(image))
