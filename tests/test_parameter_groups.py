"""Merged groups of parameters: the same settings and the same steps, in fewer calls."""

import pytest
import torch
from config_leaves import load
from mmengine.optim import build_optim_wrapper
from tiny import build_tiny

from projects.cpm_avs.training import parameter_groups
from projects.cpm_avs.training.parameter_groups import merge_groups


def test_groups_of_equal_settings_join_in_the_order_of_their_settings():
    a, b, c, d = "abcd"
    groups = [
        dict(params=[a], lr=1.0),
        dict(params=[b]),
        dict(params=[c], lr=1.0),
        dict(params=[d], lr=1.0, weight_decay=0.0),
    ]
    assert merge_groups(groups) == [
        dict(params=[a, c], lr=1.0),
        dict(params=[b]),
        dict(params=[d], lr=1.0, weight_decay=0.0),
    ]
    assert groups[0]["params"] == [a]  # what was given stays as it was


@pytest.mark.parametrize("name", ["cpm_r50_avss", "cpm_r50_vpo-ss", "cpm_mbv2-yamnet_stamps"])
def test_every_parameter_keeps_its_settings_and_its_steps(name):
    cfg = load(name).optim_wrapper
    assert cfg.optimizer.fused and cfg.constructor == "MergedGroupsConstructor"
    merged, plain = build_tiny(), build_tiny()
    ours = build_optim_wrapper(merged, cfg)
    theirs = build_optim_wrapper(plain, dict(cfg, constructor="DefaultOptimWrapperConstructor"))

    def settings(model, wrapper):
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        return {
            names[id(parameter)]: {key: group[key] for key in group if key != "params"}
            for group in wrapper.optimizer.param_groups
            for parameter in group["params"]
        }

    assert settings(merged, ours) == settings(plain, theirs)
    assert len(ours.optimizer.param_groups) <= 8 < len(theirs.optimizer.param_groups)

    for step in range(3):
        for model, wrapper in ((merged, ours), (plain, theirs)):
            generator = torch.Generator().manual_seed(step)
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.grad = torch.randn(parameter.shape, generator=generator)
            wrapper.step()
    for own, other in zip(merged.parameters(), plain.parameters(), strict=True):
        # The norm to which gradients are clipped adds up in another order.
        torch.testing.assert_close(own, other, rtol=1e-6, atol=1e-8)


def test_a_rate_for_no_parameter_is_told(monkeypatch):
    told = []
    monkeypatch.setattr(parameter_groups, "print_log", lambda message, *_: told.append(message))
    cfg = load("cpm_mbv2-yamnet_stamps").optim_wrapper
    build_optim_wrapper(build_tiny(), cfg)
    assert not told
    rules = ("decode_head.pixel_decodr", "transformer", "head")
    cfg.paramwise_cfg.custom_keys = {rule: dict(lr_mult=0.1) for rule in rules}
    build_optim_wrapper(build_tiny(), cfg)
    slip, nothing = told
    assert (
        "'decode_head.pixel_decodr' in its name" in slip
        and "mean 'decode_head.pixel_decoder'" in slip
    )
    assert "has 'transformer' in its name" in nothing and nothing.endswith("changes nothing")
