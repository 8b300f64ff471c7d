"""Channels last: another order in memory, the same numbers."""

from types import ModuleType

import pytest
import torch
from tiny import build_tiny
from torch import nn

from projects.cpm_avs.models import base_segmentor
from projects.cpm_avs.models.audio_backbones import (
    AudioResNet,
    VGGish,
    YAMNet,
    audio_resnet,
    vggish,
    yamnet,
)
from projects.cpm_avs.models.memory_layout import fast_layout


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_convolutions_see_channels_last(channels):
    x = torch.rand(2, channels, 6, 8)
    laid = fast_layout(x)
    assert torch.equal(laid, x)
    found = nn.Conv2d(channels, 4, 3, padding=1)(laid)
    assert found.is_contiguous(memory_format=torch.channels_last)


def numbers(module: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    module.zero_grad()
    maps = module(x)
    sum(one.square().mean() for one in maps).backward()
    gradients = [p.grad.clone() for p in module.parameters() if p.grad is not None]
    return [*(one.detach() for one in maps), *gradients]


@pytest.mark.parametrize(
    ("module", "backbone"),
    [
        (vggish, lambda: VGGish()),
        (yamnet, lambda: YAMNet(norm_eval=True)),
        (audio_resnet, lambda: AudioResNet(depth=18, in_channels=2, norm_eval=True)),
        (base_segmentor, lambda: Images()),
    ],
)
def test_backbones_give_the_same_in_either_layout(module: ModuleType, backbone, monkeypatch):
    torch.manual_seed(0)
    built = backbone().double()  # 20 layers of sums in another order add up
    monkeypatch.setattr(yamnet, "log_mel", lambda bins, _: bins.log())  # that is in float32
    x = torch.rand(2, getattr(built, "in_channels", 3), 32, 64, dtype=torch.double)
    found = numbers(built, x)
    monkeypatch.setattr(module, "fast_layout", lambda x: x)
    for own, plain in zip(found, numbers(built, x), strict=True):
        torch.testing.assert_close(own, plain, rtol=1e-8, atol=1e-10)


class Images(nn.Module):
    """What a segmentor's image backbone and pixel decoder give."""

    def __init__(self) -> None:
        super().__init__()
        self.model = build_tiny()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        visual = self.model.extract_visual(x)
        return visual.mask_features, *visual.memories
