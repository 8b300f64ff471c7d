"""ACP quality: SI-SDR by hand and against least squares, sources rebuilt from ratio masks."""

import math

import numpy as np
import pytest
import torch

from projects.cpm_avs.training.diagnostics.acp_quality import (
    loudness,
    ratio_errors,
    rebuild_source,
    si_sdr,
    si_sdr_improvement,
)


def tone(frequency: float, length: int = 4800) -> torch.Tensor:
    return torch.sin(2 * math.pi * frequency * torch.arange(length) / 16000)


def noise(length: int = 4800, seed: int = 0) -> torch.Tensor:
    return torch.randn(length, generator=torch.Generator().manual_seed(seed))


def magnitude(waveform: torch.Tensor) -> torch.Tensor:
    """All 257 bins of all T + 1 frames, (T + 1, 257)."""
    window = torch.hann_window(400)
    spectrum = torch.stft(waveform, 512, 160, 400, window=window, return_complex=True)
    return spectrum.abs().T


class TestRatioError:
    def test_by_hand_on_valid_bins_only(self):
        pred = torch.tensor([[0.5, 1.0], [0.0, 0.9]])
        target = torch.tensor([[0.25, 1.0], [0.5, float("nan")]])
        valid = torch.tensor([[True, True], [True, False]])
        assert float(ratio_errors(pred, target, valid).mean()) == pytest.approx(0.25)

    def test_silence_has_no_ratio(self):
        nothing = torch.zeros(2, 2)
        assert ratio_errors(nothing, nothing, nothing.bool()).shape == (0,)


class TestLoudness:
    def test_by_hand(self):
        """Channels 1 + 0 and 2 + 3 have the mean 3: log 4."""
        clean = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
        noise = torch.tensor([0.0, 3.0]).view(1, 2, 1, 1)
        assert float(loudness(clean, noise)) == pytest.approx(math.log(4))
        assert float(loudness(0 * clean, 0 * noise)) == 0


class TestSISDR:
    def test_by_hand(self):
        """Reference (1, -1, 1, -1), error (1, 1, -1, -1) / 10 orthogonal to it: 20 dB."""
        reference = torch.tensor([1.0, -1, 1, -1])
        estimate = reference + 0.1 * torch.tensor([1.0, 1, -1, -1])
        assert float(si_sdr(estimate, reference)) == pytest.approx(20, abs=1e-5)

    def test_scale_and_offset_do_not_matter(self):
        reference, estimate = noise(seed=1), noise(seed=1) + 0.3 * noise(seed=2)
        value = float(si_sdr(estimate, reference))
        for scale in (-2.0, 1e-3, 50.0):
            assert float(si_sdr(scale * estimate + 1, reference)) == pytest.approx(value, abs=1e-4)
            assert float(si_sdr(estimate, scale * reference - 1)) == pytest.approx(value, abs=1e-4)

    def test_equals_the_correlation_form(self):
        """r^2 / (1 - r^2) with Pearson's r from numpy."""
        reference, estimate = noise(seed=3), noise(seed=3) + noise(seed=4)
        r = np.corrcoef(reference.double().numpy(), estimate.double().numpy())[0, 1]
        expected = 10 * math.log10(r**2 / (1 - r**2))
        assert float(si_sdr(estimate, reference)) == pytest.approx(expected, abs=1e-9)

    def test_batches(self):
        reference = torch.stack([noise(seed=5), noise(seed=6)])
        estimate = reference + 0.5 * noise(seed=7)
        each = torch.stack([si_sdr(e, r) for e, r in zip(estimate, reference, strict=True)])
        torch.testing.assert_close(si_sdr(estimate, reference), each)

    def test_silence_has_no_value(self):
        assert si_sdr(noise(), torch.zeros(4800)).isnan()


class TestRebuildSource:
    def test_full_mask_gives_the_mixture(self):
        mixture = noise(15360)
        torch.testing.assert_close(
            rebuild_source(torch.ones(96, 256), mixture), mixture, atol=1e-5, rtol=0
        )

    def test_empty_mask_gives_silence(self):
        assert rebuild_source(torch.zeros(30, 256), noise()).abs().max() == 0

    @pytest.mark.parametrize(("drop_bin", "first"), [("nyquist", 0), ("dc", 1)])
    def test_ideal_ratio_mask_separates_two_tones(self, drop_bin, first):
        source, other = tone(500), tone(3000)
        mixture = source + other
        ratio = magnitude(source) / magnitude(source).add(magnitude(other)).clamp(min=1e-6)
        mask = ratio[:-1, first : first + 256]
        rebuilt = rebuild_source(mask, mixture, drop_bin=drop_bin)
        assert float(si_sdr(rebuilt, source)) > 20
        assert float(si_sdr_improvement(rebuilt, mixture, source)) > 20
        wrong_bins = rebuild_source(mask.roll(16, dims=1), mixture, drop_bin=drop_bin)
        assert float(si_sdr_improvement(wrong_bins, mixture, source)) < 10

    @pytest.mark.parametrize(("drop_bin", "frequency"), [("nyquist", 8000.0), ("dc", 0.0)])
    def test_the_missing_bin_takes_its_neighbours_value(self, drop_bin, frequency):
        """A mask that is 1 at one end only passes the tone of the bin beyond that end."""
        angle = 2 * math.pi * frequency * torch.arange(4800) / 16000
        edge = torch.cos(angle)
        mask = torch.zeros(30, 256)
        mask[:, -1 if drop_bin == "nyquist" else 0] = 1
        rebuilt = rebuild_source(mask, edge, drop_bin=drop_bin)
        assert rebuilt.square().mean() > 0.2 * edge.square().mean()
        elsewhere = rebuild_source(mask.flip(1), edge, drop_bin=drop_bin)
        assert elsewhere.square().mean() < 1e-3 * edge.square().mean()

    @pytest.mark.parametrize(("drop_bin", "column"), [("nyquist", 64), ("dc", 63)])
    def test_a_column_of_the_mask_is_its_own_bin(self, drop_bin, column):
        """2 kHz is bin 64 of 512; that column alone passes more of the tone than any other."""
        columns = torch.arange(60, 69)
        masks = torch.zeros(9, 30, 256)
        masks[torch.arange(9), :, columns] = 1
        rebuilt = rebuild_source(masks, tone(2000).expand(9, -1), drop_bin=drop_bin)
        assert columns[rebuilt.square().mean(1).argmax()] == column

    def test_batches(self):
        mixture = torch.stack([noise(seed=1), noise(seed=2)])
        mask = torch.rand(2, 30, 256, generator=torch.Generator().manual_seed(0))
        each = [rebuild_source(m, x) for m, x in zip(mask, mixture, strict=True)]
        torch.testing.assert_close(rebuild_source(mask, mixture), torch.stack(each))

    @pytest.mark.parametrize("shape", [(31, 256), (30, 257), (2, 30, 256)])
    def test_masks_that_do_not_fit_are_refused(self, shape):
        with pytest.raises(ValueError, match=r"needs \(30, 256\)"):
            rebuild_source(torch.ones(shape), noise())

    def test_unknown_bin_is_refused(self):
        with pytest.raises(ValueError, match="drop_bin is 'top'"):
            rebuild_source(torch.ones(30, 256), noise(), drop_bin="top")
