"""The off-screen noise a_j that audio prompting mixes in (Sec. 3.2.2)."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from mmengine.dist import get_rank
from mmengine.logging import print_log
from torch import Tensor

from ..distributed import gather_variable


@dataclass(frozen=True)
class SoundPool:
    """Sounds that may be mixed into those of a batch.

    Attributes:
        spectra: Linear magnitudes and, behind them, cross spectra if there are any, (P, X, T, F).
        sounding: Classes that sound in each, (P, C) bool.
        own: Places of the batch's own samples among them, (B,).
    """

    spectra: Tensor
    sounding: Tensor
    own: Tensor


@dataclass(frozen=True)
class OffscreenNoise:
    """Noise for each sample of a batch; 0 where a sample has none.

    Attributes:
        specgram: Linear magnitudes a_j, (B, A, T, F).
        mixed: Samples that have noise, (B,) bool.
        partner: Place in the pool of the sound that it is, (B,), -1 without one; None where the
            data set loaded the noise.
        cross: Cross spectra, (B, 2, T, F), where the batch has those of its own sounds.
    """

    specgram: Tensor
    mixed: Tensor
    partner: Tensor | None = None
    cross: Tensor | None = None


def sounds_of_batch(spectra: Tensor, sounding: Tensor) -> SoundPool:
    """This process's batch alone; see ``SoundPool`` for the arguments, with P = B."""
    own = torch.arange(len(sounding), device=sounding.device)
    return SoundPool(spectra, sounding, own)


@torch.no_grad()
def sounds_of_ranks(spectra: Tensor, sounding: Tensor) -> SoundPool:
    """The batches of all ranks, as one process would have them.

    Of two samples, a GPU's share, each would always hear the other one, and nothing where they
    have a class in common. A rank sends 0.2 MB (VPO: 1.2 MB) an iteration, twice as much with
    cross spectra.
    """
    rank = torch.full((len(sounding),), get_rank(), device=sounding.device)
    gathered, classes, ranks = gather_variable(spectra, sounding.float(), rank)
    if len(ranks) == 1:
        _tell_of_a_single_sound()
    own = (ranks == get_rank()).nonzero().squeeze(1)
    return SoundPool(gathered, classes > 0, own)


@cache  # once is enough
def _tell_of_a_single_sound() -> None:
    print_log(
        "A batch of one sample on one process has no other sound to mix in: audio prompting (ACP) "
        "learns nothing from it. Set train_dataloader.batch_size to 2 or more, or put "
        "LoadOffscreenNoise into the pipeline.",
        logger="current",
        level=logging.WARNING,
    )


def draw_partners(sounding: Tensor, audible: Tensor, own: Tensor) -> Tensor:
    """For each sample of a batch, another sound of the pool that shares no sounding class with it.

    Binary masks (S4, MS3) have one class for all that sounds; there, any other sample will do of
    which something is known.

    Args:
        sounding: Classes that sound in each sample of the pool, (P, C) bool; all, background too,
            where nothing is known, and that is nobody's partner.
        audible: Those whose sound is not silent, (P,) bool.
        own: Places of the batch in the pool, (B,).

    Returns:
        Tensor: Place of the partner, (B,), uniform over those possible; -1 where there is none.
    """
    classes = sounding.float()
    disjoint = classes[own] @ classes.T == 0
    binary = sounding.shape[1] == 2
    allowed = (disjoint | binary) & (audible & ~sounding[:, 0]).unsqueeze(0)
    allowed.scatter_(1, own.unsqueeze(1), False)
    scores = torch.rand(allowed.shape, device=allowed.device)
    best, partner = scores.masked_fill(~allowed, -1).max(-1)
    return torch.where(best >= 0, partner, -1)


def offscreen_noise(
    inputs: dict[str, Tensor],
    sounding: Tensor,
    pool_of: Callable[[Tensor, Tensor], SoundPool] = sounds_of_batch,
) -> OffscreenNoise:
    """The noise that the data set loaded, or else another sample's sound.

    Args:
        inputs: Preprocessed batch with ``specgram`` (B, A, T, F) and, for a model that hears
            phases, ``cross``; and with the same of ``noise_`` where the pipeline has
            ``LoadOffscreenNoise``.
        sounding: Classes that sound in each image, (B, C) bool.
        pool_of: Whose sounds to draw from: ``sounds_of_batch``, or in training ``sounds_of_ranks``.
    """
    if "noise_specgram" in inputs:
        noise = inputs["noise_specgram"]
        audible = noise.flatten(1).amax(-1) > 0
        return OffscreenNoise(noise, audible, cross=inputs.get("noise_cross"))
    spectra, channels = inputs["specgram"], inputs["specgram"].shape[1]
    if "cross" in inputs:
        spectra = torch.cat([spectra, inputs["cross"]], 1)
    pool = pool_of(spectra, sounding)
    audible = pool.spectra[:, :channels].flatten(1).amax(-1) > 0
    partner = draw_partners(pool.sounding, audible, pool.own)
    noise = sounds_of_partners(pool.spectra, partner)
    cross = noise[:, channels:] if "cross" in inputs else None
    return OffscreenNoise(noise[:, :channels], partner >= 0, partner, cross)


def sounds_of_partners(sounds: Tensor, partner: Tensor) -> Tensor:
    """The partners' sounds among those of a pool (P, ...): (B, ...), 0 for a partner of -1."""
    mixed = (partner >= 0).view(-1, *[1] * (sounds.dim() - 1))
    return sounds[partner.clamp(min=0)] * mixed
