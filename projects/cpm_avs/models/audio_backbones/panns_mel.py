"""The log-mel that PANNs and HTS-AT were trained with, from the model's own linear magnitudes.

Facts from https://github.com/qiuqiangkong/audioset_tagging_cnn (MIT) and
https://github.com/RetroCirce/HTS-Audio-Transformer (MIT), which let torchlibrosa compute it: power
of a Hann window, librosa's mel filters on Slaney's scale with Slaney's norm, 10 log10 of it, -100
dB at least. The window is 32 ms there and 25 ms here; levels are corrected for that. What remains:
a tone is spread over 160 Hz here and over 125 there (in dB: docs/own-backbone.md).

Shorthand: B batch, A audio channels, T frames, F = 256 linear bins, M = 64 mel bands.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..spectrogram import MEL_BANDS, N_FFT, WIN_LENGTH, DropBin, hertz_triangles

LEAST_POWER = 1e-10
# Slaney's scale: linear below 1000 Hz, logarithmic above.
_LINEAR_STEP = 200 / 3
_BREAK = 1000.0
_LOG_STEP = 27 / torch.tensor(6.4, dtype=torch.float64).log()


def hertz_to_slaney_mel(frequency: Tensor) -> Tensor:
    """Slaney's mel scale of the Auditory Toolbox, which librosa has by default; float64."""
    frequency = frequency.double()
    above = _BREAK / _LINEAR_STEP + _LOG_STEP * (frequency.clamp_min(_BREAK) / _BREAK).log()
    return torch.where(frequency < _BREAK, frequency / _LINEAR_STEP, above)


def slaney_mel_to_hertz(mel: Tensor) -> Tensor:
    """The way back, float64."""
    mel = mel.double()
    above = _BREAK * ((mel - _BREAK / _LINEAR_STEP).clamp_min(0) / _LOG_STEP).exp()
    return torch.where(mel < _BREAK / _LINEAR_STEP, mel * _LINEAR_STEP, above)


@dataclass(frozen=True)
class MelFrontEnd:
    """What a network was trained to hear.

    Attributes:
        f_max: Upper end of its highest band, Hz; what is above 8 kHz is silent here.
        n_fft: Its transform and window, in samples of its own rate; a bin has 31.25 Hz, as ours.
        f_min: Lower end of its lowest band, Hz.
    """

    f_max: float
    n_fft: int
    f_min: float = 50.0

    def band_position(self, frequency: Tensor) -> Tensor:
        """Where frequencies (Hz) lie on the axis of the bands: band m has its centre at m."""
        low, high = hertz_to_slaney_mel(torch.tensor([self.f_min, self.f_max]))
        return (hertz_to_slaney_mel(frequency) - low) / (high - low) * (MEL_BANDS + 1) - 1

    def filters(self, drop_bin: DropBin = "nyquist") -> Tensor:
        """Power of our bins to power of its bands, (F, M) float32, levels corrected."""
        low, high = hertz_to_slaney_mel(torch.tensor([self.f_min, self.f_max]))
        step = (high - low) / (MEL_BANDS + 1)
        edges = slaney_mel_to_hertz(low + step * torch.arange(MEL_BANDS + 2))
        triangles = hertz_triangles(edges, drop_bin)
        return (triangles * 2 / (edges[2:] - edges[:-2]) * self.level).float()

    def log_mel(self, specgram: Tensor, filters: Tensor) -> Tensor:
        """(B, A, T, F) linear magnitude to (B, A, T, M) in dB, in float32."""
        with torch.autocast(specgram.device.type, enabled=False):
            power = specgram.float().square() @ filters
            return 10 * power.clamp_min(LEAST_POWER).log10()

    @property
    def level(self) -> float:
        """Its power over ours: a transform spreads a sound's energy over bins by Parseval.

        A Hann window of n samples has the energy 3 n / 8.
        """
        return (self.n_fft * self.n_fft) / (N_FFT * WIN_LENGTH)


#: Cnn14 at 16 kHz.
PANNS_16K = MelFrontEnd(f_max=8000.0, n_fft=512)
#: HTS-AT on AudioSet, at 32 kHz.
HTSAT_32K = MelFrontEnd(f_max=14_000.0, n_fft=1024)
