"""EfficientNet-Lite: published sizes, maps, what is frozen, what is refused."""

from pathlib import Path

import pytest
import torch
from mmseg.registry import MODELS
from torch import nn

from projects.cpm_avs.models.image_backbones import EfficientNetLite
from projects.cpm_avs.models.image_backbones.efficientnet_lite import ARCHS

# Of the classifier, which the backbone lacks: a convolution from the last map, its normalisation
# and a linear layer from 1280 to 1000.
HEAD_WIDTH, CLASSES = 1280, 1000


@pytest.mark.parametrize(
    ("arch", "millions", "widths"),
    [
        # https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
        ("lite0", 4.7, (24, 40, 112, 320)),
        ("lite1", 5.4, (24, 40, 112, 320)),
        ("lite2", 6.1, (24, 48, 120, 352)),
        ("lite3", 8.2, (32, 48, 136, 384)),
        ("lite4", 13.0, (32, 56, 160, 448)),
    ],
)
def test_the_published_number_of_parameters(
    arch: str, millions: float, widths: tuple[int, ...]
) -> None:
    with torch.device("meta"):
        network = EfficientNetLite(arch=arch)
    assert network.out_channels == widths
    head = (widths[-1] + 2) * HEAD_WIDTH + (HEAD_WIDTH + 1) * CLASSES
    count = sum(value.numel() for value in network.parameters()) + head
    assert round(count / 1e6, 1) == millions


def test_maps_have_the_strides_of_mmsegs_mobilenet() -> None:
    network = MODELS.build(dict(type="EfficientNetLite"))
    other = MODELS.build(dict(type="MobileNetV2"))
    image = torch.randn(2, 3, 64, 96)
    for x, y, width in zip(network(image), other(image), network.out_channels, strict=True):
        assert x.shape == (2, width, *y.shape[2:])


def test_the_network_ends_with_the_last_map() -> None:
    network = EfficientNetLite(out_indices=(0, 3))
    maps = network(torch.randn(2, 3, 64, 64))
    assert [tuple(x.shape[1:]) for x in maps] == [(16, 32, 32), (80, 4, 4)]
    maps[-1].sum().backward()
    assert all(value.grad is not None for value in network.parameters())


@pytest.mark.parametrize(("frozen", "expected"), [(-1, []), (0, [-1]), (2, [-1, 0, 1])])
def test_frozen_stages_neither_learn_nor_count(frozen: int, expected: list[int]) -> None:
    network = EfficientNetLite(frozen_stages=frozen)
    assert network.train() is network
    parts = {-1: network.stem} | dict(enumerate(network.stages))
    for index, part in parts.items():
        stays = index in expected
        assert all(value.requires_grad != stays for value in part.parameters())
        norms = [module for module in part.modules() if isinstance(module, nn.BatchNorm2d)]
        assert all(module.training != stays for module in norms) and norms


def test_norm_eval_keeps_the_statistics() -> None:
    network = EfficientNetLite(norm_eval=True).train()
    before = {key: value.clone() for key, value in network.named_buffers()}
    network(torch.randn(2, 3, 32, 32))[-1].sum().backward()
    assert all(value.equal(before[key]) for key, value in network.named_buffers())
    assert all(value.grad is not None for value in network.parameters())
    network.norm_eval = False
    network.train()(torch.randn(2, 3, 32, 32))
    changed = {key for key, value in network.named_buffers() if not value.equal(before[key])}
    assert changed == before.keys()


def test_weights_are_loaded_from_a_file(tmp_path: Path) -> None:
    state = EfficientNetLite().state_dict()
    torch.save(state, tmp_path / "weights.pth")
    init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "weights.pth"))
    network = EfficientNetLite(init_cfg=init_cfg)
    network.init_weights()
    assert all(value.equal(state[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(arch="b0"), f"arch is 'b0'; .* {', '.join(ARCHS)}"),
        (dict(out_indices=(1, 7)), r"out_indices is \(1, 7\); .* 0 to 6"),
        (dict(out_indices=(1, 2), frozen_stages=4), "frozen_stages is 4; it can be -1 to 3"),
    ],
)
def test_what_does_not_exist_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EfficientNetLite(**options)
