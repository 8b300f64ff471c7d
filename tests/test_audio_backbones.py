"""Audio backbones: lattice, pretrained weights, mel to linear frequency."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS
from tiny import magnitudes
from torch import nn

from projects.cpm_avs.models.audio_backbones.pretrained_weights import adapt_input_channels
from projects.cpm_avs.models.audio_backbones.yamnet import (
    YAMNet,
    log_mel,
    mel_to_linear,
)
from projects.cpm_avs.models.spectrogram import (
    compress,
    hertz_to_mel,
    mel_band_position,
    stft_magnitude,
)

NAMES = ["VGGish", "AudioResNet", "YAMNet", "Cnn14"]
NORM = dict(type="BN", eps=1e-4)


def build(name: str, **options: object) -> nn.Module:
    network = MODELS.build(dict(type=name, **options))
    network.eval()  # returns None in mmseg's ResNet
    return network


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", [96, 300])
@pytest.mark.parametrize("name", NAMES)
def test_maps_lie_on_the_linear_lattice(name: str, frames: int, channels: int) -> None:
    network = build(name, in_channels=channels)
    with torch.no_grad():
        maps = network(magnitudes(1, channels, frames, 256))
    assert network.out_strides == (4, 8, 16)
    for x, width, stride in zip(maps, network.out_channels, network.out_strides, strict=True):
        assert x.shape == (1, width, math.ceil(frames / stride), 256 // stride)
        assert x.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_the_stages_that_are_returned_can_be_chosen(name: str) -> None:
    network = build(name, out_indices=(0, 3))
    with torch.no_grad():
        maps = network(magnitudes(1, 1, 32, 256))
    for x, width, stride in zip(maps, network.out_channels, network.out_strides, strict=True):
        assert x.shape[1:] == (width, 32 // stride, 256 // stride)


@pytest.mark.parametrize("last", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name: str, last: int) -> None:
    network = MODELS.build(dict(type=name, out_indices=(0, last)))
    network(magnitudes(2, 1, 32, 256))[-1].sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_mono_weights_answer_equal_channels_as_before(name: str) -> None:
    mono, stereo = build(name), build(name, in_channels=2)
    state = mono.state_dict()
    stereo.load_state_dict(state, strict=True)
    specgram = magnitudes(1, 1, 32, 256)
    with torch.no_grad():
        pairs = zip(mono(specgram), stereo(specgram.expand(1, 2, 32, 256)), strict=True)
        for expected, found in pairs:
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_the_kernel_of_three_colours_is_summed() -> None:
    weight = torch.arange(2 * 3 * 1 * 1.0).reshape(2, 3, 1, 1)
    np.testing.assert_allclose(adapt_input_channels(weight, 1)[:, 0, 0, 0], [3.0, 12.0])
    np.testing.assert_allclose(adapt_input_channels(weight, 2)[:, :, 0, 0], [[1.5, 1.5], [6, 6]])
    assert adapt_input_channels(weight, 3) is weight


def test_vggish_is_torchvggishs_features() -> None:
    layers: list[nn.Module] = []
    width = 1
    for v in [64, "M", 128, "M", 256, 256, "M", 512, 512, "M"]:
        if v == "M":
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        else:
            layers += [nn.Conv2d(width, v, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
            width = v
    reference = nn.Sequential(*layers)
    network = build("VGGish")
    network.load_state_dict({f"features.{k}": v for k, v in reference.state_dict().items()})
    specgram = magnitudes(2, 1, 96, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(specgram)[-1], reference(compress(specgram)))


@pytest.mark.parametrize("name", NAMES)
def test_pretrained_file_is_taken_and_a_missing_one_says_what_to_do(
    name: str, tmp_path: Path
) -> None:
    source = build(name)
    path = tmp_path / "weights.pth"
    torch.save(source.state_dict() | {"classifier.bias": torch.zeros(3)}, path)
    network = MODELS.build(dict(type=name, init_cfg=dict(type="Pretrained", checkpoint=str(path))))
    network.init_weights()
    for expected, found in zip(source.parameters(), network.parameters(), strict=True):
        assert torch.equal(expected, found)

    missing = str(tmp_path / "none.pth")
    network = MODELS.build(dict(type=name, init_cfg=dict(type="Pretrained", checkpoint=missing)))
    with pytest.raises(FileNotFoundError, match=r"none\.pth.*prepare_weights.*init_cfg=None"):
        network.init_weights()


def test_vggish_freezes_its_first_stages() -> None:
    network = build("VGGish", frozen_stages=2)
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {f"features.{i}.{p}" for i in (0, 3) for p in ("weight", "bias")}


@pytest.mark.parametrize("name", ["VGGish", "YAMNet"])
def test_more_frozen_stages_than_there_are_are_refused(name: str) -> None:
    build(name, out_indices=(0, 2), frozen_stages=3)
    with pytest.raises(ValueError, match="frozen_stages is 4; there are 3"):
        build(name, out_indices=(0, 2), frozen_stages=4)


def test_yamnet_freezes_its_first_layers_and_keeps_statistics() -> None:
    network = YAMNet(frozen_stages=3)
    network.train()
    for index, layer in enumerate(network.layers):
        assert all(p.requires_grad == (index >= 3) for p in layer.parameters())
        assert layer.training == (index >= 3)
    network = YAMNet(norm_eval=True)
    network.train()
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 15 and not any(m.training for m in norms)


def test_yamnet_ends_with_the_last_layer_that_is_named() -> None:
    whole, cut = YAMNet(out_indices=(3, 5, 7, 11)).eval(), YAMNet().eval()
    assert whole.out_strides == (4, 8, 16, 16) and whole.out_channels == (128, 256, 512, 512)
    assert (len(whole.layers), len(cut.layers)) == (12, 8)
    cut.load_state_dict(whole.state_dict())  # the other layers of the file are left out
    specgram = magnitudes(1, 1, 32, 256)
    with torch.no_grad():
        x = log_mel(specgram, whole.filters)
        for layer in whole.layers[:8]:
            x = layer(x)
        torch.testing.assert_close(cut(specgram)[-1], x @ mel_to_linear(16))
        torch.testing.assert_close(cut(specgram)[-1], whole(specgram)[2])


def test_unknown_stages_are_refused() -> None:
    for name, stage in (("VGGish", 4), ("YAMNet", 12), ("Cnn14", 5)):
        with pytest.raises(ValueError, match=f"out_indices is \\({stage},\\)"):
            MODELS.build(dict(type=name, out_indices=(stage,)))


@pytest.mark.parametrize("stride", [2, 4, 8, 16])
@pytest.mark.parametrize(("drop_bin", "first"), [("nyquist", 0), ("dc", 1)])
def test_mel_to_linear_reads_the_mel_axis_at_the_cells_frequency(
    stride: int, drop_bin: str, first: int
) -> None:
    low, high = 1127 * math.log(1 + 125 / 700), 1127 * math.log(1 + 7500 / 700)
    mel_cells = 64 // stride
    expected = np.zeros((mel_cells, 256 // stride))
    for cell in range(256 // stride):
        frequency = 31.25 * np.mean([cell * stride + i + first for i in range(stride)])
        band = (1127 * math.log(1 + frequency / 700) - low) / (high - low) * 65 - 1
        position = min(max((band - (stride - 1) / 2) / stride, 0), mel_cells - 1)
        left = min(int(position), mel_cells - 2)
        expected[left, cell] = left + 1 - position
        expected[left + 1, cell] = position - left
    np.testing.assert_allclose(mel_to_linear(stride, drop_bin), expected, atol=1e-6)


@pytest.mark.parametrize("frequency", [300.0, 700.0, 1500.0, 3000.0, 5500.0])
def test_a_tone_lights_the_cell_of_its_frequency(frequency: float) -> None:
    """With averaging kernels the answer is greatest where the receptive fields see the tone."""
    network = YAMNet(out_indices=(3, 5)).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
    tone = torch.sin(2 * torch.pi * frequency * torch.arange(15360) / 16000)
    with torch.no_grad():
        specgram = stft_magnitude(tone)[None, None]
        maps, silence = network(specgram), network(torch.zeros_like(specgram))
    for x, base, stride in zip(maps, silence, network.out_strides, strict=True):
        brightest = int((x - base).mean((0, 1, 2)).argmax())
        centre = 31.25 * (brightest * stride + (stride - 1) / 2)
        distance = mel_band_position(torch.tensor([centre, frequency])).diff().abs()
        assert float(distance) <= 1.25 * stride, f"{centre} Hz at stride {stride}"


def test_half_precision_reaches_the_convolutions_only() -> None:
    network = YAMNet().eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        maps = network(magnitudes(1, 1, 32, 256))
    assert all(x.dtype == torch.bfloat16 and x.isfinite().all() for x in maps)
    assert float(hertz_to_mel(torch.tensor(700.0))) == pytest.approx(1127 * math.log(2), rel=1e-5)
