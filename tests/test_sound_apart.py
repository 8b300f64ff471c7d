"""Two optimisers of one loss: who learns how, and that it is what two steps by hand give."""

from copy import deepcopy

import pytest
import torch
from baseline_models import build
from config_leaves import BASELINES
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import nn


def settings(name: str, part: str = "optim_wrapper") -> Config:
    return Config.fromfile(BASELINES / f"{name}.py")[part]


def test_each_parameter_has_its_rate_and_decay():
    """0.01 behind the backbone, 0.001 elsewhere; no decay of norms and biases but in the fusion."""
    model = build("cavp_r50_s4-224")
    wrapper = build_optim_wrapper(model, settings("cavp_r50_s4-224"))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {
        names[id(parameter)]: (part, group["lr"], group["weight_decay"])
        for part, own in wrapper.items()
        for group in own.optimizer.param_groups
        for parameter in group["params"]
    }
    assert found.keys() == set(names.values())
    for name, parameter in model.named_parameters():
        if name.startswith("audio_backbone."):
            assert found[name] == ("sound", 1e-3, 0)
            continue
        met = name.startswith(("decode_head.projector.", "decode_head.fusion."))
        fast = name.startswith("decode_head.") and not met
        decay = 1e-4 if met or parameter.ndim > 1 else 0
        assert found[name] == ("visual", pytest.approx(0.01 if fast else 1e-3), decay), name
    kinds = {part: type(own.optimizer).__name__ for part, own in wrapper.items()}
    assert kinds == dict(visual="SGD", sound="Adam")


class TwoParts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.audio_backbone = nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.backbone(x) * self.audio_backbone(x)).square().mean()


def test_steps_are_those_of_two_optimisers_by_hand():
    torch.manual_seed(0)
    model = TwoParts()
    other = deepcopy(model)
    wrapper = build_optim_wrapper(
        model,
        dict(
            constructor="SoundApartConstructor",
            optimizer=dict(type="SGD", lr=0.1, momentum=0.9),
            paramwise_cfg=dict(sound_optimizer=dict(type="Adam", lr=0.2)),
        ),
    )
    sgd = torch.optim.SGD(other.backbone.parameters(), lr=0.1, momentum=0.9)
    adam = torch.optim.Adam(other.audio_backbone.parameters(), lr=0.2)
    for _ in range(3):
        x = torch.randn(5, 3)
        with wrapper.optim_context(model):
            loss = model(x)
        wrapper.update_params(loss)
        for one in (sgd, adam):
            one.zero_grad()
        other(x).backward()
        for one in (sgd, adam):
            one.step()
    assert all(map(torch.equal, model.parameters(), other.parameters()))
    assert wrapper.get_lr() == {"visual.lr": [0.1], "sound.lr": [0.2]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(type="AmpOptimWrapper"), "AmpOptimWrapper with accumulative_counts=1.*out --amp"),
        (dict(accumulative_counts=4), "OptimWrapper with accumulative_counts=4.*leave out"),
        (dict(paramwise_cfg=dict()), "paramwise_cfg has no sound_optimizer"),
    ],
)
def test_what_two_optimisers_can_not_do_is_told(change, message):
    cfg = settings("cavp_r50_s4-224")
    cfg.pop("paramwise_cfg") if "paramwise_cfg" in change else None
    with pytest.raises(ValueError, match=message):
        build_optim_wrapper(TwoParts(), {**cfg, **change})
