"""The pixel decoder against MMDetection's, and its sampling against mmcv's."""

from collections.abc import Callable

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch
from mmdet.models.layers import MSDeformAttnPixelDecoder
from torch import Tensor

from projects.cpm_avs.models.cpm import level_sampling
from projects.cpm_avs.models.cpm.level_sampling import sampler_for
from projects.cpm_avs.models.cpm.pixel_decoder import PixelDecoder
from projects.cpm_avs.models.cpm.positions import cell_centres
from projects.cpm_avs.models.made_once import made_once

CPU = torch.device("cpu")
SIZES = [(2, 3), (4, 6), (7, 11)]
BATCH, HEADS, WIDTH, PLACES = 2, 4, 8, 3


def bags(*inputs: Tensor) -> Tensor:
    assert sampler_for(SIZES, CPU).func is level_sampling._by_bags
    return sampler_for(SIZES, CPU)(*inputs)


def grids(*inputs: Tensor) -> Tensor:
    return level_sampling._by_torch(SIZES, *inputs)


def mmcv(value: Tensor, offsets: Tensor, weights: Tensor, reference: Tensor) -> Tensor:
    cells = torch.tensor(SIZES).flip(1)[:, None]
    places = reference[None, :, None, None, None] + offsets / cells
    return multi_scale_deformable_attn_pytorch(value, torch.tensor(SIZES), places, weights)


def inputs(
    spread: float, dtype: torch.dtype = torch.float32, sizes: list[tuple[int, int]] = SIZES
) -> list[Tensor]:
    """Values, offsets (some of them far outside) and weights, with gradients; places of tokens."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype)

    tokens = sum(height * width for height, width in sizes)
    value = normal(BATCH, tokens, HEADS, WIDTH)
    offsets = spread * normal(BATCH, tokens, HEADS, len(sizes), PLACES, 2)
    weights = normal(BATCH, tokens, HEADS, len(sizes) * PLACES).softmax(-1)
    weights = weights.unflatten(-1, (len(sizes), PLACES))
    reference = torch.cat([cell_centres(*size, CPU, dtype) for size in sizes])
    return [*(x.requires_grad_() for x in (value, offsets, weights)), reference]


@pytest.mark.parametrize("sample", [bags, grids])
@pytest.mark.parametrize("spread", [0.5, 4.0, 1e6])
def test_sampling_is_mmcvs(sample: Callable[..., Tensor], spread: float):
    own, other = inputs(spread), inputs(spread)
    found, expected = sample(*own), mmcv(*other)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    for one in (found, expected):
        (one * weights).sum().backward()
    for one, two in zip(own[:3], other[:3], strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-4, atol=1e-4)


def test_gradients_of_sampling_in_float64():
    """Of few and small maps: each number of the inputs takes two runs."""
    sizes = [(1, 2), (2, 3), (3, 5)]
    value, offsets, weights, reference = inputs(2.0, torch.float64, sizes)
    few = [value[:1, :, :1, :3], offsets[:1, :, :1, :, :2], weights[:1, :, :1, :, :2]]
    few = [x.detach().requires_grad_() for x in few]
    sample = sampler_for(sizes, CPU)
    assert sample.func is level_sampling._by_bags
    assert torch.autograd.gradcheck(lambda *x: sample(*x, reference), few)


def test_a_place_by_hand():
    """A token looks 0.25 cells right of and 0.5 below its own middle, another half outside."""
    value = torch.zeros(1, 6, 1, 1)
    value[0, [2, 3, 4, 5], 0, 0] = torch.tensor([1.0, 10.0, 100.0, 1000.0])  # 3 rows of 2 cells
    offsets, weights = torch.zeros(1, 6, 1, 1, 1, 2), torch.ones(1, 6, 1, 1, 1)
    offsets[0, 2] = torch.tensor([0.25, 0.5])
    offsets[0, 0] = torch.tensor([-0.5, 0.0])  # half outside
    value[0, 0] = 8.0
    found = sampler_for([(3, 2)], CPU)(
        value, offsets, weights, cell_centres(3, 2, CPU, value.dtype)
    )
    assert found[0, 2].item() == pytest.approx(
        (0.75 * 1 + 0.25 * 10 + 0.75 * 100 + 0.25 * 1000) / 2
    )
    assert found[0, 0].item() == pytest.approx(4.0)


def test_a_place_that_is_not_a_number_stops_nothing():
    # The loss that follows is not a number either, and its check names the sample.
    value, offsets, weights, reference = inputs(1.0)
    with torch.no_grad():
        offsets[0, 3] = torch.nan
        offsets[0, 4] = torch.inf
        weights[0, 5] = torch.nan
    found = bags(value, offsets, weights, reference)
    assert found[0, 5].isnan().all() and found[1].isfinite().all()
    found.sum().backward()


def test_the_pixel_decoder_is_mmdetections():
    torch.manual_seed(0)
    decoder = PixelDecoder(
        in_channels=[4, 6, 8, 10], embed_dims=32, num_layers=2, feedforward_channels=16
    )
    decoder.init_weights()
    for layer in decoder.encoder.layers:  # which begin with the same offsets for all tokens
        torch.nn.init.normal_(layer.self_attn.sampling_offsets.weight, std=0.3)
        torch.nn.init.normal_(layer.self_attn.attention_weights.weight)
    maps = [torch.randn(2, c, 24 // 2**i, 40 // 2**i) for i, c in enumerate((4, 6, 8, 10))]
    results = []
    for forward in (PixelDecoder.forward, MSDeformAttnPixelDecoder.forward):
        decoder.zero_grad()
        feats = [one.clone().requires_grad_() for one in maps]
        features, memories = forward(decoder, feats)
        found = [features, *memories]
        sum(one.square().mean() for one in found).backward()
        gradients = [parameter.grad.clone() for parameter in decoder.parameters()]
        results.append([*(one.detach() for one in found), *(f.grad for f in feats), *gradients])
    assert len(results[0]) == len(results[1])
    for own, other in zip(*results, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)


def test_what_is_made_once_is_not_what_a_graph_has():
    made = []

    @made_once
    def zeros(size: int) -> Tensor:
        made.append(size)
        return torch.zeros(size)

    with torch.inference_mode():
        first = zeros(3)
    assert zeros(3) is first and not first.is_inference() and made == [3]

    class Adding(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + zeros(3)

    torch.export.export(Adding(), (torch.ones(3),))
    assert made == [3, 3] and zeros(3) is first
