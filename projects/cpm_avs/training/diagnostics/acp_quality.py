"""Quality of audio-conditional prompting (eq. 5, Fig. 7) in numbers, pure functions.

Shorthand: L waveform samples at 16 kHz, T = L // 160 frames, F = 256 bins.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.spectrogram import HOP_LENGTH, N_FFT, WIN_LENGTH, DropBin, first_bin


def ratio_errors(pred: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Absolute errors of ratio masks at the bins where the ratio is defined.

    Args:
        pred: Predicted ratio mask, (..., T, F), between 0 and 1.
        target: a_i / a_p, the same shape.
        valid: Where a_p > 0, the same shape, bool.

    Returns:
        (n,), one for each valid bin.
    """
    return (pred - target)[valid].abs()


def loudness(clean: Tensor, noise: Tensor) -> Tensor:
    """log(1 + a_p), by which mix-and-separate weighs bins (Zhao et al., 2018).

    Of the bins of a mixture many are next to silent and weigh like the rest in eq. 5, though
    nobody hears them; a_p itself would leave the few loudest alone, as SI-SDR does.

    Args:
        clean: Linear magnitude a_i, (B, A, T, F); the channels are averaged.
        noise: Linear magnitude a_j, (B, A, T, F).

    Returns:
        (B, T, F).
    """
    return (clean + noise).float().mean(1).log1p()


def si_sdr(estimate: Tensor, reference: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al., 2019), means removed.

    The estimate splits into its projection on the reference and the rest; the ratio of their
    energies doesn't change with the scale of either.

    Args:
        estimate: (..., L), not silent.
        reference: (..., L), not silent.

    Returns:
        (...) in dB; NaN where one of the signals is silent.
    """
    estimate, reference = estimate.double(), reference.double()
    estimate = estimate - estimate.mean(-1, keepdim=True)
    reference = reference - reference.mean(-1, keepdim=True)
    scale = (estimate * reference).sum(-1, keepdim=True) / reference.square().sum(-1, keepdim=True)
    target = scale * reference
    distortion = estimate - target
    return 10 * torch.log10(target.square().sum(-1) / distortion.square().sum(-1))


def rebuild_source(mask: Tensor, mixture: Tensor, *, drop_bin: DropBin = "nyquist") -> Tensor:
    """The waveform of one source: the mixture's spectrogram under the mask, the mixture's phase.

    The STFT of the model (n_fft 512, Hann 400, hop 160, centred) has T + 1 frames and 257 bins; the
    mask lacks the last frame and one bin, which take the value of their neighbours.

    Args:
        mask: Ratio mask, (..., T, 256), between 0 and 1.
        mixture: Waveform of the mixture, (..., L), L // 160 = T.
        drop_bin: The bin that the mask lacks.

    Returns:
        (..., L).
    """
    length = mixture.shape[-1]
    expected = (*mixture.shape[:-1], length // HOP_LENGTH, N_FFT // 2)
    if mask.shape != expected:
        raise ValueError(
            f"The mask is {tuple(mask.shape)}, but a mixture of shape {tuple(mixture.shape)} needs "
            f"{expected}; cut the waveform to 160 samples a frame."
        )
    lacking = first_bin(drop_bin)  # bins before the first of the mask
    window = torch.hann_window(WIN_LENGTH, dtype=mixture.dtype, device=mixture.device)
    spectrum = torch.stft(
        mixture.reshape(-1, length),
        N_FFT,
        hop_length=HOP_LENGTH,
        win_length=WIN_LENGTH,
        window=window,
        return_complex=True,
    )  # (-1, 257, T + 1)
    mask = mask.reshape(-1, *mask.shape[-2:]).to(mixture.dtype)
    mask = F.pad(mask[:, None], (lacking, 1 - lacking, 0, 1), mode="replicate")[:, 0]
    source = torch.istft(
        spectrum * mask.transpose(1, 2),
        N_FFT,
        hop_length=HOP_LENGTH,
        win_length=WIN_LENGTH,
        window=window,
        length=length,
    )
    return source.view_as(mixture)


def si_sdr_improvement(estimate: Tensor, mixture: Tensor, reference: Tensor) -> Tensor:
    """By how many dB the estimate is nearer to the reference than the mixture was, (...)."""
    return si_sdr(estimate, reference) - si_sdr(mixture, reference)
