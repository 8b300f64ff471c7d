"""Features of the clean sounds of a batch and of the mixed ones."""

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ...structures import AudioFeatures
from ..protocols import PromptableModel
from .norm_statistics import keep_statistics


def hear_both(
    model: PromptableModel,
    clean: Tensor,
    mixed: Tensor,
    view: Tensor | None = None,
    crosses: tuple[Tensor, Tensor] | None = None,
) -> tuple[AudioFeatures, AudioFeatures]:
    """Features of both: in one call, or in two where batch norms go by what they are given.

    Those in training mode normalise by the batch, and take its statistics over: at test there are
    clean sounds alone.

    Args:
        model: Gives ``extract_audio``.
        clean: Linear magnitudes, (B, A, T, F).
        mixed: The same sounds with others mixed in, (B, A, T, F).
        view: Where in the pictures their frames lie, (B, 2).
        crosses: Cross spectra of both, (B, 2, T, F), for a model that hears phases.
    """
    norms = (part for part in model.audio_backbone.modules() if isinstance(part, _BatchNorm))
    if any(norm.training for norm in norms):
        of_clean, of_mixed = crosses or (None, None)
        first = model.extract_audio(clean, view, of_clean)
        with keep_statistics(model.audio_backbone):
            return first, model.extract_audio(mixed, view, of_mixed)
    twice = None if view is None else view.repeat(2, 1)
    cross = None if crosses is None else torch.cat(crosses)
    both = model.extract_audio(torch.cat([clean, mixed]), twice, cross)
    levels = zip(*(level.chunk(2) for level in both.levels), strict=True)
    memories = both.memory.chunk(2)
    positions = (None, None) if both.position is None else both.position.chunk(2)
    first, second = (AudioFeatures(*one) for one in zip(levels, memories, positions, strict=True))
    return first, second
