"""The off-screen noise a_j that audio prompting mixes in (Sec. 3.2.2)."""

from dataclasses import dataclass

import torch
from torch import Tensor


def draw_partners(
    sounding: Tensor, audible: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """For each sample, another one of the batch that shares no sounding class with it.

    Binary masks (S4, MS3) have one class for all that sounds; there, any other sample will do.

    Args:
        sounding: Classes that sound in each image, (B, C) bool.
        audible: Samples whose sound is not silent, (B,) bool.
        generator: Source of randomness on the same device.

    Returns:
        Tensor: Index of the partner, (B,), uniform over those possible; -1 where there is none.
    """
    classes = sounding.float()
    disjoint = classes @ classes.T == 0
    binary = sounding.shape[1] == 2
    allowed = (disjoint | binary) & audible.unsqueeze(0)
    allowed.fill_diagonal_(False)
    scores = torch.rand(allowed.shape, generator=generator, device=allowed.device)
    best, partner = scores.masked_fill(~allowed, -1).max(-1)
    return torch.where(best >= 0, partner, -1)


@dataclass(frozen=True)
class OffscreenNoise:
    """Noise for each sample of a batch; 0 where a sample has none.

    Attributes:
        specgram: Linear magnitudes a_j, (B, A, T, F).
        waveform: (B, A, L).
        mixed: Samples that have noise, (B,) bool.
    """

    specgram: Tensor
    waveform: Tensor
    mixed: Tensor


def offscreen_noise(inputs: dict[str, Tensor], sounding: Tensor) -> OffscreenNoise:
    """The noise that the data set loaded, or else other samples of the batch.

    Args:
        inputs: Preprocessed batch with ``specgram`` (B, A, T, F) and ``waveform`` (B, A, L), and
            with ``noise_specgram`` and ``noise_waveform`` where the pipeline has
            ``LoadOffscreenNoise``.
        sounding: Classes that sound in each image, (B, C) bool.
    """
    specgram, waveform = inputs["specgram"], inputs["waveform"]
    if "noise_specgram" in inputs:
        noise = inputs["noise_specgram"]
        return OffscreenNoise(noise, inputs["noise_waveform"], noise.flatten(1).amax(-1) > 0)
    partner = draw_partners(sounding, specgram.flatten(1).amax(-1) > 0)
    mixed, index = partner >= 0, partner.clamp(min=0)
    return OffscreenNoise(
        specgram[index] * mixed.view(-1, 1, 1, 1), waveform[index] * mixed.view(-1, 1, 1), mixed
    )
