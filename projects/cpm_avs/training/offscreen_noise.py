"""The off-screen noise a_j that audio prompting mixes in (Sec. 3.2.2)."""

import torch
from torch import Tensor


def draw_partners(
    sounding: Tensor, audible: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """For each sample, another one of the batch that shares no sounding class with it.

    Args:
        sounding: Classes that sound in each image, (B, C) bool.
        audible: Samples whose sound is not silent, (B,) bool.
        generator: Source of randomness on the same device.

    Returns:
        Tensor: Index of the partner, (B,), uniform over those possible; -1 where there is none.
    """
    classes = sounding.float()
    allowed = (classes @ classes.T == 0) & audible.unsqueeze(0)
    allowed.fill_diagonal_(False)
    scores = torch.rand(allowed.shape, generator=generator, device=allowed.device)
    best, partner = scores.masked_fill(~allowed, -1).max(-1)
    return torch.where(best >= 0, partner, -1)


def mix_with_batch(specgram: Tensor, sounding: Tensor) -> tuple[Tensor, Tensor]:
    """Take each sample's noise from the batch.

    Args:
        specgram: Linear magnitudes a_i, (B, A, T, F).
        sounding: (B, C) bool.

    Returns:
        tuple: Noise a_j, (B, A, T, F), 0 where a sample has no partner, and (B,) bool that says
        which samples have one.
    """
    audible = specgram.flatten(1).amax(-1) > 0
    partner = draw_partners(sounding, audible)
    mixed = partner >= 0
    return specgram[partner.clamp(min=0)] * mixed.view(-1, 1, 1, 1), mixed
