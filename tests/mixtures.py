"""Mixtures of Gaussians, ours and PyTorch's."""

import math

import torch
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from projects.cpm_avs.structures import GaussianState

CLASSES, COMPONENTS, POINTS = 4, 3, 50


def random_state(
    dims: int,
    *,
    full: bool = False,
    offset: float = 0.0,
    classes: int = CLASSES,
    components: int = COMPONENTS,
    seed: int = 0,
) -> GaussianState:
    """Mixtures in float32 with unequal weights and variances between 0.5 and 1.5."""
    generator = torch.Generator().manual_seed(seed)
    shape = (classes, components, dims)
    covariances = 0.5 + torch.rand(shape, generator=generator)
    if full:
        factor = torch.randn(*shape, dims, generator=generator) / math.sqrt(dims)
        covariances = torch.diag_embed(covariances) + factor @ factor.transpose(-1, -2)
    return GaussianState(
        torch.randn(shape[:2], generator=generator).log_softmax(-1),
        offset + torch.randn(shape, generator=generator),
        covariances,
    )


def double(state: GaussianState) -> GaussianState:
    return GaussianState(
        # Exactly normalised, as Categorical does it.
        state.log_weights.double().log_softmax(-1),
        state.means.double(),
        state.covariances.double(),
    )


def gaussians(state: GaussianState) -> torch.distributions.Distribution:
    """Batch shape (K, M), in float64."""
    state = double(state)
    if state.covariances.ndim == 3:
        return Independent(Normal(state.means, state.covariances.sqrt()), 1)
    return MultivariateNormal(state.means, state.covariances)


def mixtures(state: GaussianState) -> MixtureSameFamily:
    """Batch shape (K,), in float64."""
    return MixtureSameFamily(Categorical(logits=state.log_weights.double()), gaussians(state))
