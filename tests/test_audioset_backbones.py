"""Cnn14 and HTS-AT: what they hear, their authors' networks written out, published names."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.signal
import soxr
import torch
from librosa_numbers import FREQUENCIES, recorded
from numpy.lib.stride_tricks import sliding_window_view
from tiny import magnitudes
from torch import nn
from torch.nn import functional as F

from projects.cpm_avs.models.audio_backbones import HTSAT, Cnn14
from projects.cpm_avs.models.audio_backbones.htsat import fold, repeated, unfold
from projects.cpm_avs.models.audio_backbones.panns_mel import (
    HTSAT_32K,
    PANNS_16K,
    hertz_to_slaney_mel,
    slaney_mel_to_hertz,
)
from projects.cpm_avs.models.audio_backbones.yamnet import mel_to_linear
from projects.cpm_avs.models.spectrogram import stft_magnitude
from projects.cpm_avs.pretrained.audioset_converters import cnn14, htsat
from projects.cpm_avs.pretrained.prepare import prepare

State = dict[str, torch.Tensor]
FRONT_ENDS = [(PANNS_16K, 16_000, 512, "panns_16k"), (HTSAT_32K, 32_000, 1024, "htsat_32k")]


class TestFrontEnd:
    def test_slaneys_scale_is_librosas(self):
        mel = hertz_to_slaney_mel(torch.from_numpy(FREQUENCIES))
        np.testing.assert_allclose(mel, recorded("mel"), rtol=1e-12)
        np.testing.assert_allclose(slaney_mel_to_hertz(mel), FREQUENCIES, rtol=1e-12)

    @pytest.mark.parametrize(("front_end", "rate", "n_fft", "name"), FRONT_ENDS)
    def test_filters_are_librosas(self, front_end, rate, n_fft, name):
        expected = recorded(name).T
        for drop_bin, first in (("nyquist", 0), ("dc", 1)):
            found = front_end.filters(drop_bin) / front_end.level
            np.testing.assert_allclose(found, expected[first : first + 256], atol=1e-7)
        position = front_end.band_position(torch.from_numpy(recorded(f"centres {name}")))
        np.testing.assert_allclose(position, np.arange(64), atol=1e-9)

    @pytest.mark.parametrize(
        ("sound", "mean", "spread"), [("noise", 0.2, 1.6), ("rising tone", 0.6, 2.5)]
    )
    @pytest.mark.parametrize(("front_end", "rate", "n_fft", "name"), FRONT_ENDS)
    def test_levels_differ_from_the_originals_by_so_much(
        self, front_end, rate, n_fft, name, sound, mean, spread
    ):
        """In dB: ours from 25 ms at 16 kHz against 32 ms at the network's own rate."""
        rng = np.random.default_rng(0)
        time = np.arange(4 * 16_000) / 16_000
        if sound == "noise":
            waveform = 0.1 * rng.standard_normal(len(time))
        else:
            waveform = 0.3 * np.sin(2 * np.pi * (200 * time + 400 * time**2))
            waveform += 1e-3 * rng.standard_normal(len(time))
        ours = front_end.log_mel(
            stft_magnitude(torch.from_numpy(waveform).float()), front_end.filters()
        )
        theirs = soxr.resample(waveform, 16_000, rate)
        frames = sliding_window_view(np.pad(theirs, n_fft // 2, "reflect"), n_fft)[:: rate // 100]
        spectrum = np.fft.rfft(frames * scipy.signal.get_window("hann", n_fft))
        power = np.abs(spectrum) ** 2 @ recorded(name).T
        expected = 10 * np.log10(np.maximum(power, 1e-10))[: len(ours)]
        heard = int(front_end.band_position(torch.tensor(7500.0)))  # bands that our rate fills
        difference = (ours.numpy() - expected)[5:-5, :heard]
        print(sound, rate, difference.mean(), np.abs(difference).mean())
        assert abs(difference.mean()) < mean
        assert np.abs(difference).mean() < spread

    def test_what_our_rate_lacks_is_silent(self):
        bands = HTSAT_32K.log_mel(magnitudes(1, 1, 4, 256), HTSAT_32K.filters())
        above = math.ceil(float(HTSAT_32K.band_position(torch.tensor(8000.0)))) + 1
        assert above == 55 and (bands[..., above:] == -100).all() and (bands[..., :50] > -20).all()


class Cnn14Twin(nn.Module):
    """The authors' names and order; Cnn14's blocks with other widths."""

    def __init__(self) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(64)
        width = 1
        for number, out in enumerate((64, 128, 256, 512, 1024), start=1):
            block = nn.Module()
            block.conv1 = nn.Conv2d(width, out, 3, 1, 1, bias=False)
            block.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
            block.bn1, block.bn2 = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
            self.add_module(f"conv_block{number}", block)
            width = out
        for tensor in self.buffers():
            if tensor.is_floating_point():
                nn.init.uniform_(tensor, 0.5, 1.0)

    def maps(self, bands: torch.Tensor) -> list[torch.Tensor]:
        x = self.bn0(bands.permute(0, 3, 2, 1)).permute(0, 3, 2, 1)
        maps = []
        for number in range(1, 6):
            block = self.get_submodule(f"conv_block{number}")
            x = F.relu(block.bn1(block.conv1(x)))
            maps.append(F.relu(block.bn2(block.conv2(x))))
            x = F.avg_pool2d(maps[-1], 2)
            maps.append(x)
        return maps


def whole_cnn14(twin: nn.Module) -> State:
    """With what a published file holds besides."""
    left = {
        "logmel_extractor.melW": torch.from_numpy(recorded("panns_16k").T.copy()),
        "spectrogram_extractor.stft.conv_real.weight": torch.rand(2, 1, 2),
        "conv_block6.conv1.weight": torch.rand(2, 2, 3, 3),
        "fc1.weight": torch.rand(2, 2),
        "fc_audioset.bias": torch.rand(2),
    }
    return twin.state_dict() | left


class TestCnn14:
    def test_converted_weights_give_the_authors_maps(self):
        twin = Cnn14Twin().eval()
        network = Cnn14(out_indices=(0, 1, 2, 3, 4)).eval()
        network.load_state_dict(cnn14(whole_cnn14(twin)), strict=True)
        specgram = magnitudes(1, 1, 32, 256)
        with torch.no_grad():
            expected = twin.maps(PANNS_16K.log_mel(specgram, network.filters))
            chosen = [expected[i] for i in (1, 3, 5, 7, 8)]  # the last before its average
            for x, y, stride in zip(network(specgram), chosen, network.out_strides, strict=True):
                to_linear = mel_to_linear(stride, "nyquist", PANNS_16K.band_position)
                torch.testing.assert_close(x, y @ to_linear, atol=1e-4, rtol=1e-4)

    def test_the_file_is_made_and_its_bands_are_compared(self, tmp_path: Path):
        source = tmp_path / "Cnn14_16k.pth"
        state = whole_cnn14(Cnn14Twin())
        torch.save(dict(iteration=1, model=state), source)
        path, finding = prepare("cnn14", source=source, out_dir=tmp_path)
        assert path.name == "cnn14_audioset.pth" and "mel filters are ours" in finding
        cut = Cnn14(init_cfg=dict(type="Pretrained", checkpoint=str(path)), out_indices=(1, 2, 3))
        cut.init_weights()
        assert torch.equal(cut.blocks[3].conv2.weight, state["conv_block4.conv2.weight"])
        state["logmel_extractor.melW"] = state["logmel_extractor.melW"].roll(1, 0)
        torch.save(dict(model=state), source)
        with pytest.raises(ValueError, match=r"its mel filters .*another front end"):
            prepare("cnn14", source=source, out_dir=tmp_path)

    def test_another_network_is_refused(self):
        with pytest.raises(
            ValueError, match=r"layer1\.0\.conv1\.weight is no part of PANNs' Cnn14"
        ):
            cnn14({"layer1.0.conv1.weight": torch.zeros(1)})

    def test_what_is_frozen_neither_learns_nor_counts(self):
        network = Cnn14(frozen_stages=2).train()
        for index, block in enumerate(network.blocks):
            assert all(p.requires_grad == (index >= 2) for p in block.parameters())
            assert block.bn1.training == (index >= 2)
        assert not network.bn0.training and not network.bn0.weight.requires_grad
        kept = Cnn14(norm_eval=True).train()
        assert not any(m.training for m in kept.modules() if isinstance(m, nn.BatchNorm2d))
        with pytest.raises(ValueError, match="frozen_stages is 4; there are 3"):
            Cnn14(out_indices=(0, 2), frozen_stages=4)


WIDTH, HEADS, DEPTHS, WINDOW = 8, (1, 2, 4), (2, 2, 1), 8


def linear_of(state: State, at: str, x: torch.Tensor) -> torch.Tensor:
    return F.linear(x, state[f"{at}.weight"], state.get(f"{at}.bias"))


def norm_of(state: State, at: str, x: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(x, x.shape[-1:], state[f"{at}.weight"], state[f"{at}.bias"])


def htsat_state() -> State:
    """Key names of a published file, with random numbers and small sizes."""
    torch.manual_seed(0)
    state = {f"bn0.{x}": torch.rand(64) + 0.5 for x in ("weight", "bias", "running_mean")}
    state |= {
        "bn0.running_var": torch.full((64,), 400.0),
        "bn0.num_batches_tracked": torch.tensor(1),
    }

    def add(at: str, out: int, *width: int, bias: bool = True) -> None:
        state[f"{at}.weight"] = torch.randn(out, *width) / 2 if width else torch.rand(out) + 0.5
        if bias:
            state[f"{at}.bias"] = torch.randn(out)

    add("patch_embed.proj", WIDTH, 1, 4, 4)
    add("patch_embed.norm", WIDTH)
    grid = torch.stack(torch.meshgrid(*[torch.arange(8)] * 2, indexing="ij")).flatten(1)
    apart = grid[:, :, None] - grid[:, None] + 7
    for stage, (depth, heads) in enumerate(zip(DEPTHS, HEADS, strict=True)):
        width = WIDTH * 2**stage
        for block in range(depth):
            at = f"layers.{stage}.blocks.{block}"
            add(f"{at}.norm1", width)
            add(f"{at}.attn.qkv", 3 * width, width)
            add(f"{at}.attn.proj", width, width)
            state[f"{at}.attn.relative_position_bias_table"] = torch.randn(225, heads)
            state[f"{at}.attn.relative_position_index"] = 15 * apart[0] + apart[1]
            add(f"{at}.norm2", width)
            add(f"{at}.mlp.fc1", 4 * width, width)
            add(f"{at}.mlp.fc2", width, 4 * width)
            if block % 2:
                state[f"{at}.attn_mask"] = torch.zeros(1, 64, 64)
        add(f"layers.{stage}.downsample.norm", 4 * width)
        add(f"layers.{stage}.downsample.reduction", 2 * width, 4 * width, bias=False)
    for at in ("layers.3.blocks.0.norm1", "norm", "tscam_conv", "head"):
        add(at, 2)
    state["logmel_extractor.melW"] = torch.from_numpy(recorded("htsat_32k").T.copy())
    return {f"sed_model.{key}": value for key, value in state.items()}


def in_windows(x: torch.Tensor) -> torch.Tensor:
    """(H, W, C) to (windows, 64, C)."""
    parts = x.unflatten(0, (-1, WINDOW)).unflatten(2, (-1, WINDOW))
    return parts.transpose(1, 2).flatten(0, 1).flatten(1, 2)


def attend(state: State, at: str, x: torch.Tensor, heads: int, shift: int) -> torch.Tensor:
    """Windowed attention of one picture (H, W, C), moved by ``shift`` before and back after."""
    side, _, width = x.shape
    tokens = in_windows(x.roll((-shift, -shift), (0, 1)))
    query, key, value = (
        part.unflatten(-1, (heads, -1)).transpose(1, 2)
        for part in linear_of(state, f"{at}.qkv", tokens).chunk(3, -1)
    )
    scores = query @ key.transpose(-2, -1) / (width // heads) ** 0.5
    index = state[f"{at}.relative_position_index"]
    scores = scores + state[f"{at}.relative_position_bias_table"][index].permute(2, 0, 1)
    if shift:  # who came round the edge is a stranger
        part = torch.bucketize(
            torch.arange(side), torch.tensor([side - WINDOW, side - shift]), right=True
        )
        region = in_windows((3 * part[:, None] + part)[..., None].float())
        scores = scores - 100.0 * (region != region.transpose(1, 2))[:, None]
    found = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
    found = linear_of(state, f"{at}.proj", found)
    windows = side // WINDOW
    square = found.unflatten(0, (windows, windows)).unflatten(2, (WINDOW, WINDOW)).transpose(1, 2)
    return square.flatten(2, 3).flatten(0, 1).roll((shift, shift), (0, 1))


def authors_maps(published: State, square: torch.Tensor) -> list[torch.Tensor]:
    """The three stages' tokens of one square (1, 256, 256), each (H, W, C)."""
    state = {key.removeprefix("sed_model."): value for key, value in published.items()}
    patches = F.conv2d(
        square[None], state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=4
    )
    x = norm_of(state, "patch_embed.norm", patches[0].permute(1, 2, 0))
    maps = []
    for stage, (depth, heads) in enumerate(zip(DEPTHS, HEADS, strict=True)):
        if stage:
            four = [x[i::2, j::2] for i, j in ((0, 0), (1, 0), (0, 1), (1, 1))]
            at = f"layers.{stage - 1}.downsample"
            x = linear_of(
                state, f"{at}.reduction", norm_of(state, f"{at}.norm", torch.cat(four, -1))
            )
        for block in range(depth):
            at = f"layers.{stage}.blocks.{block}"
            shift = WINDOW // 2 if block % 2 else 0
            x = x + attend(state, f"{at}.attn", norm_of(state, f"{at}.norm1", x), heads, shift)
            hidden = F.gelu(linear_of(state, f"{at}.mlp.fc1", norm_of(state, f"{at}.norm2", x)))
            x = x + linear_of(state, f"{at}.mlp.fc2", hidden)
        maps.append(x)
    return maps


SMALL: dict[str, Any] = dict(embed_dims=WIDTH, depths=DEPTHS, num_heads=HEADS)


class TestHTSAT:
    def test_converted_weights_give_the_authors_maps(self):
        """Frame by frame and band by band: the last 40 frames of 1000 are the first 24 again."""
        published = htsat_state()
        network = HTSAT(**SMALL).eval()
        network.load_state_dict(htsat(published), strict=True)
        specgram = magnitudes(1, 1, 1000, 256)
        bands = HTSAT_32K.log_mel(specgram, network.filters)[0, 0]
        filled = torch.cat([bands, bands[:24]])
        mean, var = (published[f"sed_model.bn0.running_{x}"] for x in ("mean", "var"))
        scale, shift = (published[f"sed_model.bn0.{x}"] for x in ("weight", "bias"))
        normed = (filled - mean) / (var + 1e-5).sqrt() * scale + shift
        square = torch.zeros(1, 256, 256)
        for piece in range(4):
            square[0, 64 * piece : 64 * piece + 64] = normed[256 * piece : 256 * piece + 256].T
        with torch.no_grad():
            found = network(specgram)
            expected = authors_maps(published, square)
        for x, tokens, stride in zip(found, expected, (4, 8, 16), strict=True):
            tokens = F.layer_norm(tokens, tokens.shape[-1:])
            high = 64 // stride
            pieces = [tokens[high * p : high * p + high] for p in range(4)]  # bands, time, C
            time = torch.cat(pieces, 1)[:, : math.ceil(1000 / stride)].permute(2, 1, 0)
            to_linear = mel_to_linear(stride, "nyquist", HTSAT_32K.band_position)
            torch.testing.assert_close(x[0], time @ to_linear, atol=1e-3, rtol=1e-3)

    def test_folding_goes_back(self):
        bands = magnitudes(2, 3, 1024, 64)
        torch.testing.assert_close(unfold(fold(bands)), bands)
        long = magnitudes(1, 1, 1100, 64)
        pieces = repeated(long)
        assert pieces.shape == (2, 1, 1024, 64)
        torch.testing.assert_close(pieces[1, :, :76], long[0, :, 1024:])
        torch.testing.assert_close(pieces[1, :, 76:], long[0, :, :948])

    @pytest.mark.parametrize(("frames", "channels"), [(96, 1), (300, 2), (1030, 1)])
    def test_maps_lie_on_the_linear_lattice(self, frames: int, channels: int):
        network = HTSAT(in_channels=channels, **SMALL).eval()
        with torch.no_grad():
            maps = network(magnitudes(1, channels, frames, 256))
        assert network.out_strides == (4, 8, 16)
        for x, width, stride in zip(maps, network.out_channels, network.out_strides, strict=True):
            assert x.shape == (1, width, math.ceil(frames / stride), 256 // stride)

    def test_every_parameter_but_those_of_the_bands_norm_gets_a_gradient(self):
        network = HTSAT(**SMALL).train()
        assert not network.bn0.training
        sum(x.sum() for x in network(magnitudes(2, 1, 96, 256))).backward()
        without = {name for name, p in network.named_parameters() if p.grad is None}
        assert without == {"bn0.weight", "bn0.bias"}

    def test_mono_weights_answer_equal_channels_as_before(self):
        mono, stereo = HTSAT(**SMALL).eval(), HTSAT(in_channels=2, **SMALL).eval()
        stereo.load_state_dict(mono.state_dict(), strict=True)
        specgram = magnitudes(1, 1, 96, 256)
        with torch.no_grad():
            pairs = zip(mono(specgram), stereo(specgram.expand(1, 2, 96, 256)), strict=True)
        for expected, found in pairs:
            torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)

    def test_another_network_is_refused(self):
        for key, message in (("cls_token", "cls_token is no part"), ("bn0.bias", "no layers.0")):
            with pytest.raises(ValueError, match=message):
                htsat({key: torch.zeros(1)})
