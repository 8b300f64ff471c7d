"""The spectrogram against scipy and librosa, VGGish's own mel formula and hand-made signals."""

import numpy as np
import pytest
import scipy.signal
import torch
from librosa_numbers import recorded

from projects.cpm_avs.models.spectrogram import (
    bin_frequencies,
    compress,
    mel_band_position,
    mel_filters,
    stft_magnitude,
)


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(("length", "frames"), [(15360, 96), (48000, 300), (16001, 100)])
@pytest.mark.parametrize(("drop_bin", "kept"), [("nyquist", slice(0, 256)), ("dc", slice(1, 257))])
def test_magnitude_is_scipys(length: int, frames: int, drop_bin: str, kept: slice) -> None:
    """Hann's 400 samples amid 512, the ends mirrored, and not divided by the window's sum."""
    waveform = noise(2, length)
    window = scipy.signal.get_window("hann", 400)
    mirrored = np.pad(waveform.numpy(), ((0, 0), (256, 256)), mode="reflect")
    *_, expected = scipy.signal.stft(
        mirrored, window=np.pad(window, 56), nperseg=512, noverlap=512 - 160,
        boundary=None, padded=False,
    )  # fmt: skip
    expected = window.sum() * np.abs(expected)[:, kept, :frames].transpose(0, 2, 1)
    found = stft_magnitude(waveform, drop_bin=drop_bin)
    assert found.shape == (2, frames, 256) and found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-4)


def test_a_tone_stands_in_its_bin_with_half_the_window_as_height() -> None:
    tone = 0.5 * torch.sin(2 * torch.pi * 1000 * torch.arange(16000) / 16000)
    frame = stft_magnitude(tone)[50]
    assert int(frame.argmax()) == 32  # 1000 Hz / 31.25 Hz
    # amplitude / 2 * sum of the Hann window (200 for 400 samples)
    assert float(frame[32]) == pytest.approx(0.5 / 2 * 200, rel=1e-4)
    assert int(stft_magnitude(tone, drop_bin="dc")[50].argmax()) == 31


def test_frame_t_is_centred_on_sample_160_t() -> None:
    click = torch.zeros(15360)
    click[160 * 40] = 1.0
    frames = stft_magnitude(click)[:, 100]
    assert int(frames.argmax()) == 40
    assert float(frames[40]) == pytest.approx(1.0, rel=1e-4)  # the window's peak
    assert torch.allclose(frames[39], frames[41], atol=1e-5)


def test_leading_axes_are_kept_and_independent() -> None:
    waveform = noise(2, 3, 1600)
    assert torch.equal(stft_magnitude(waveform)[1, 2], stft_magnitude(waveform[1, 2]))


def test_stays_float32_under_autocast() -> None:
    waveform = noise(1, 1600)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = stft_magnitude(waveform.bfloat16())
    assert found.dtype == torch.float32
    assert torch.equal(found, stft_magnitude(waveform.bfloat16().float()))


def test_too_short_and_unknown_bin_are_refused() -> None:
    with pytest.raises(ValueError, match="256 samples are too few.*at least 257"):
        stft_magnitude(torch.zeros(256))
    with pytest.raises(ValueError, match="'top'.*'nyquist' or 'dc'"):
        stft_magnitude(torch.zeros(1600), drop_bin="top")


def test_compress_is_vggishs_logarithm() -> None:
    found = compress(torch.tensor([0.0, 0.99, 99.99]))
    np.testing.assert_allclose(found, [np.log(0.01), 0.0, np.log(100)], atol=1e-6)


def test_mel_filters_are_vggishs() -> None:
    """The formula of VGGish's mel_features.py: triangles in the mel domain, DC set to zero."""
    mel = 1127.0 * np.log(1.0 + np.linspace(0.0, 8000.0, 257) / 700.0)
    edges = np.linspace(*(1127.0 * np.log(1.0 + np.array([125.0, 7500.0]) / 700.0)), 66)
    expected = np.zeros((257, 64))
    for band in range(64):
        low, centre, high = edges[band : band + 3]
        rise, fall = (mel - low) / (centre - low), (high - mel) / (high - centre)
        expected[:, band] = np.maximum(0.0, np.minimum(rise, fall))
    expected[0] = 0.0
    np.testing.assert_allclose(mel_filters(), expected[:256], atol=1e-6)
    np.testing.assert_allclose(mel_filters(drop_bin="dc"), expected[1:], atol=1e-6)


def test_mel_filters_are_close_to_librosas() -> None:
    """librosa's triangles are straight in Hz instead of in mel, which is nearly the same."""
    np.testing.assert_allclose(mel_filters(), recorded("vggish").T[:256], atol=0.006)


def test_no_filter_reads_what_is_dropped() -> None:
    assert mel_filters()[0].sum() == 0 and mel_filters(drop_bin="dc")[255].sum() == 0


def test_band_position_inverts_the_filters_peaks() -> None:
    position = mel_band_position(bin_frequencies(torch.arange(256)))
    filters = mel_filters()
    inside = (position > 0) & (position < 63)
    centroid = (filters * torch.arange(64)).sum(1) / filters.sum(1)
    torch.testing.assert_close(centroid[inside], position[inside].float(), atol=1e-4, rtol=0)
