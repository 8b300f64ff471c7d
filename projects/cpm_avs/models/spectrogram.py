"""Waveform to linear magnitude spectrogram, its compression, and the HTK mel filters (appendix A).

Shorthand: L samples, T frames, F = 256 linear bins of 31.25 Hz, M mel bands.
"""

from typing import Literal

import torch
from torch import Tensor

from ..constants import SAMPLE_RATE

DropBin = Literal["nyquist", "dc"]

# Appendix A, in samples.
N_FFT, WIN_LENGTH, HOP_LENGTH = 512, 400, 160
NUM_BINS = N_FFT // 2

MEL_BANDS = 64
MEL_F_MIN = 125.0
MEL_F_MAX = 7500.0

LOG_OFFSET = 0.01


def stft_magnitude(waveform: Tensor, *, drop_bin: DropBin = "nyquist") -> Tensor:
    """Linear magnitude of the centred STFT (reflect padding, periodic Hann window).

    Args:
        waveform: (..., L) in [-1, 1]; L > 256.
        drop_bin: Which of the 257 bins goes, the highest or the lowest.

    Returns:
        (..., L // 160, 256) float32; frame t is centred on sample 160 t.
    """
    # Half precision would lose the quiet bins, on which the ratio masks of ACP are defined.
    with torch.autocast(waveform.device.type, enabled=False):
        return _kept(_spectrum(waveform).abs(), waveform.shape[:-1], drop_bin)


def magnitude_and_cross(
    waveform: Tensor, *, drop_bin: DropBin = "nyquist"
) -> tuple[Tensor, Tensor]:
    """``stft_magnitude`` of stereo sounds, and the cross spectrum of their channels.

    Args:
        waveform: Left and right channel, (..., 2, L) in [-1, 1]; L > 256.
        drop_bin: As in :func:`stft_magnitude`.

    Returns:
        tuple: The magnitudes, and the real and the imaginary part of the left spectrum times the
        conjugate of the right one; both (..., 2, L // 160, 256) float32. The phase of the product
        is by how much the left channel is ahead.
    """
    lead = waveform.shape[:-1]
    if lead[-1:] != (2,):
        raise ValueError(
            "the cross spectrum is that of two channels, and the sound is "
            f"{tuple(waveform.shape)}; load it with two channels"
        )
    with torch.autocast(waveform.device.type, enabled=False):
        spectrum = _spectrum(waveform)
        left, right = spectrum.unflatten(0, (-1, 2)).unbind(1)
        cross = torch.view_as_real(left * right.conj()).movedim(-1, 1).flatten(0, 1)
        return _kept(spectrum.abs(), lead, drop_bin), _kept(cross, lead, drop_bin)


def _spectrum(waveform: Tensor) -> Tensor:
    """The complex STFT of (..., L), all in a row: (N, 257, T)."""
    length = waveform.shape[-1]
    if length <= N_FFT // 2:
        raise ValueError(
            f"{length} samples are too few for an STFT of {N_FFT}: "
            f"give at least {N_FFT // 2 + 1}, or tile the waveform"
        )
    spectrum = torch.stft(
        waveform.float().reshape(-1, length),
        n_fft=N_FFT,
        hop_length=HOP_LENGTH,
        win_length=WIN_LENGTH,
        window=torch.hann_window(WIN_LENGTH, device=waveform.device),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    # A centred STFT has L // hop + 1 frames; the last one is half outside the waveform.
    return spectrum[..., : length // HOP_LENGTH]


def _kept(parts: Tensor, lead: torch.Size, drop_bin: DropBin) -> Tensor:
    """(N, 257, T) as (*lead, T, 256)."""
    parts = parts.transpose(1, 2)[..., first_bin(drop_bin) :][..., :NUM_BINS]
    return parts.reshape(*lead, *parts.shape[-2:])


def first_bin(drop_bin: DropBin) -> int:
    """Index in the full transform of the first bin that is kept."""
    if drop_bin not in ("nyquist", "dc"):
        raise ValueError(f"drop_bin is {drop_bin!r}; choose 'nyquist' or 'dc'")
    return 1 if drop_bin == "dc" else 0


def compress(specgram: Tensor) -> Tensor:
    """Logarithm of a linear magnitude with VGGish's offset; what the networks see."""
    return torch.log(specgram + LOG_OFFSET)


def hertz_to_mel(frequency: Tensor) -> Tensor:
    """HTK mel scale, 1127 ln(1 + f / 700)."""
    return 1127.0 * torch.log1p(frequency / 700.0)


def mel_band_position(frequency: Tensor) -> Tensor:
    """Where frequencies (Hz) lie on the axis of the mel bands: band m has its centre at m."""
    low, high = hertz_to_mel(torch.tensor([MEL_F_MIN, MEL_F_MAX], dtype=torch.float64))
    return (hertz_to_mel(frequency.double()) - low) / (high - low) * (MEL_BANDS + 1) - 1


def mel_filters(*, drop_bin: DropBin = "nyquist") -> Tensor:
    """Triangular filters of VGGish and YAMNet: 64 bands, 125 to 7500 Hz, on linear bins.

    Both the Nyquist bin and DC lie outside the range, so nothing is lost with the dropped bin.

    Args:
        drop_bin: As in :func:`stft_magnitude`.

    Returns:
        (256, 64) float32, no area normalisation; ``specgram @ filters`` is the mel magnitude.
    """
    frequency = bin_frequencies(torch.arange(NUM_BINS) + first_bin(drop_bin))
    # On the band axis every triangle has its peak at its band and its feet one band away.
    distance = mel_band_position(frequency)[:, None] - torch.arange(MEL_BANDS)
    return (1 - distance.abs()).clamp_min(0).float()


def hertz_triangles(edges: Tensor, drop_bin: DropBin = "nyquist") -> Tensor:
    """Triangular filters whose sides are straight in Hz, as librosa's and torchaudio's are.

    Args:
        edges: Feet and peaks of M neighbouring triangles, Hz, (M + 2,) float64.
        drop_bin: As in :func:`stft_magnitude`.

    Returns:
        (256, M) float64, 1 at the peaks.
    """
    frequency = bin_frequencies(torch.arange(NUM_BINS) + first_bin(drop_bin))[:, None]
    widths = edges.diff()
    rising = (frequency - edges[:-2]) / widths[:-1]
    falling = (edges[2:] - frequency) / widths[1:]
    return rising.minimum(falling).clamp_min(0)


def bin_frequencies(bins: Tensor) -> Tensor:
    """Frequencies (Hz, float64) of possibly fractional bin indices of the full transform."""
    return bins.double() * (SAMPLE_RATE / N_FFT)
