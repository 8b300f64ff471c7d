"""Audio-conditional prompting: recover the clean spectrogram from the mixture (eq. 5)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.precision import full_precision
from ..distributed import reduce_mean


def ratio_mask(clean: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The target a_i / a_p with a_p = a_i + a_j.

    Args:
        clean: Linear magnitude a_i, (B, A, T, F); the channels are averaged.
        noise: Linear magnitude a_j, (B, A, T, F).

    Returns:
        tuple: Ratio in [0, 1], 0 where undefined, and where it is defined (a_p > 0), bool; both
        (B, T, F).
    """
    clean, noise = clean.float().mean(1), noise.float().mean(1)
    mixture = clean + noise
    defined = mixture > 0
    return clean / mixture.where(defined, torch.ones_like(mixture)), defined


def predict_ratio(masks: Tensor, padding: Tensor, size: Sequence[int]) -> Tensor:
    """sigmoid(sum over k of m_k^a) on the spectrogram's lattice.

    Args:
        masks: Mask logits of the prompts, (B, Q, T/4, F/4).
        padding: (B, Q) bool.
        size: (T, F).

    Returns:
        Tensor: (B, T, F) in [0, 1].
    """
    summed = full_precision(masks).masked_fill(padding[..., None, None], 0).sum(1, keepdim=True)
    return F.interpolate(summed, tuple(size), mode="bilinear", align_corners=False)[:, 0].sigmoid()


def acp_loss(predicted: Tensor, ratio: Tensor, counted: Tensor) -> Tensor:
    """Mean squared error over the bins of all ranks that count: eq. 5 as the text around it has it.

    Args:
        predicted: (B, T, F).
        ratio: (B, T, F).
        counted: (B, T, F) bool.

    Returns:
        Tensor: Scalar, 0 with a live gradient path where nothing counts.
    """
    error = (predicted - ratio).square().masked_fill(~counted, 0)
    # Bins are whole, so the clamp only guards 0 / 0.
    return error.sum() / reduce_mean(counted.sum().float()).clamp(min=1e-6)
