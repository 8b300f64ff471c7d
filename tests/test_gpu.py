"""The model on a CUDA device: the same numbers as on the CPU, and training in all precisions."""

from copy import deepcopy

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)
from tiny import build_tiny, losses_of, predictions_of, tiny_batch, tiny_model_cfg
from torch import nn

from projects.cpm_avs.inference.recorded import record
from projects.cpm_avs.models.memory_layout import interpolated

pytestmark = pytest.mark.gpu
DEVICE = "cuda"


@pytest.fixture(autouse=True)
def _full_precision():
    """cuDNN takes TF32 for convolutions by default, which has 10 bits."""
    with torch.backends.cudnn.flags(allow_tf32=False):
        yield


def deterministic_cfg() -> dict:
    """Without anything that is drawn on the device: prompts and random points."""
    points = dict(type="grid")
    return tiny_model_cfg(criterion=dict(set_loss=dict(points=points), prompting=None))


def on_both(cfg: dict) -> tuple[nn.Module, nn.Module]:
    model = build_tiny(cfg)
    return model, deepcopy(model).to(DEVICE)


def test_predictions_are_those_of_the_cpu():
    model, copy = on_both(deterministic_cfg())
    batch = tiny_batch()
    for expected, found in zip(
        predictions_of(model, batch), predictions_of(copy, batch), strict=True
    ):
        scores = found.seg_logits.data
        assert scores.device.type == DEVICE
        torch.testing.assert_close(scores.cpu(), expected.seg_logits.data, rtol=1e-3, atol=1e-4)


def test_losses_gradients_bank_and_mixtures_are_those_of_the_cpu():
    models = on_both(deterministic_cfg())
    for model in models:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("sampling_offsets.bias"):
                    # They begin at whole cells, where rounding says which side's slope it is.
                    parameter += 0.3
        model.train()
        for step in range(3):
            model.zero_grad()
            losses = losses_of(model, tiny_batch(seed=step))
            sum(losses.values()).backward()
            model.criterion.update_classifier(model.decode_head.classifier)
    expected, found = ({**model.state_dict()} for model in models)
    assert "criterion.mixture.bank.samples" in expected
    for name, value in expected.items():
        torch.testing.assert_close(found[name].cpu(), value, rtol=1e-3, atol=1e-4, msg=name)
    gradients = [p.grad.abs().max() for p in models[0].parameters() if p.grad is not None]
    # A bias that a norm takes out again has a gradient of rounding errors alone.
    least = 1e-3 * torch.stack(gradients).max()
    for (name, one), other in zip(
        models[0].named_parameters(), models[1].parameters(), strict=True
    ):
        if one.grad is not None:
            scale = one.grad.abs().max().clamp(min=least)
            torch.testing.assert_close(
                other.grad.cpu() / scale, one.grad / scale, rtol=0, atol=5e-3, msg=name
            )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_training_stays_finite(dtype):
    model = build_tiny().to(DEVICE).train()
    before = model.decode_head.query_feat.weight.clone()
    means = model.decode_head.classifier.means.clone()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler(DEVICE, init_scale=256.0, enabled=dtype == torch.float16)
    for step in range(6):
        with torch.autocast(DEVICE, dtype=dtype, enabled=dtype != torch.float32):
            batch = tiny_batch(seed=step, silent=step % 3 == 2)
            losses = losses_of(model, batch, seed=step)  # raises if one is not finite
        assert {loss.dtype for loss in losses.values()} == {torch.float32}
        optimizer.zero_grad()
        scaler.scale(sum(losses.values())).backward()
        scaler.step(optimizer)
        scaler.update()
        model.criterion.update_classifier(model.decode_head.classifier)
    assert all(value.isfinite().all() for value in model.state_dict().values())
    assert not torch.equal(before, model.decode_head.query_feat.weight)
    assert not torch.equal(means, model.decode_head.classifier.means)


def test_the_kernel_of_deformable_attention_agrees_with_pytorch():
    """Values and gradients, at places inside, on the border and outside of the maps."""
    generator = torch.Generator().manual_seed(0)
    shapes = torch.tensor([[6, 4], [3, 2]], device=DEVICE)
    starts = torch.tensor([0, 24], device=DEVICE)
    inputs = [
        torch.randn(2, 30, 4, 8, generator=generator),
        1.4 * torch.rand(2, 5, 4, 2, 3, 2, generator=generator) - 0.2,
        torch.rand(2, 5, 4, 2, 3, generator=generator),
    ]
    fast, slow = ([one.to(DEVICE).requires_grad_() for one in inputs] for _ in range(2))
    found = MultiScaleDeformableAttnFunction.apply(fast[0], shapes, starts, *fast[1:], 64)
    expected = multi_scale_deformable_attn_pytorch(slow[0], shapes, *slow[1:])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    weights = torch.randn(found.shape, generator=generator).to(DEVICE)
    for one in (found, expected):
        (one * weights).sum().backward()
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4)


def test_interpolation_is_that_of_the_cpu():
    maps = torch.randn(2, 32, 6, 8, generator=torch.Generator().manual_seed(0))
    found = interpolated(maps.to(DEVICE), (24, 20))
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found.cpu(), interpolated(maps, (24, 20)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_recorded_network_predicts_what_the_plain_one_does(dtype):
    """Also of other pictures than it was recorded with, of fewer, and of weights loaded later."""
    model = build_tiny().to(DEVICE)
    recorded = record(model)
    for seed, count in ((0, 2), (1, 2), (2, 1), (3, 4)):
        batch = tiny_batch(count, seed=seed)
        with torch.no_grad(), torch.autocast(DEVICE, dtype=dtype, enabled=dtype != torch.float32):
            expected = model.test_step(deepcopy(batch))
            found = recorded.best_step(deepcopy(batch))
        for one, other in zip(found, expected, strict=True):
            apart = (one.pred_scores.data - other.seg_logits.data.amax(0, keepdim=True)).abs()
            # In half precision a cell on the edge of an attention mask may fall to either side.
            assert apart.max() < 1e-3 if dtype == torch.float32 else apart.mean() < 0.01
        with torch.no_grad():
            model.decode_head.query_feat.weight.mul_(0.9)
