"""Densities and samples of Gaussian mixtures in log space (CPM, eq. 1-2).

K classes with no-object, M components a class, D dimensions, n points. Everything is computed in
full float32 at least, also inside autocast and where TF32 is allowed.
"""

import math

import torch
from torch import Tensor

from ...structures import GaussianState
from ..precision import full_precision, full_products


def _log_prob_diag(x: Tensor, means: Tensor, variances: Tensor) -> Tensor:
    # Expanding the square turns the sum into matrix products. It cancels badly when the data lie
    # far from the origin, so both sides are first centred on the means' own centre.
    centre = means.mean(-2, keepdim=True)
    x, means = x - centre, means - centre
    precisions = variances.reciprocal()
    mahalanobis = (
        x.square() @ precisions.transpose(-1, -2)
        - 2 * x @ (means * precisions).transpose(-1, -2)
        + (means.square() * precisions).sum(-1).unsqueeze(-2)
    )
    log_det = variances.log().sum(-1).unsqueeze(-2)
    return -0.5 * (mahalanobis.clamp(min=0) + log_det + x.shape[-1] * math.log(2 * math.pi))


def _log_prob_full(x: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    tril = torch.linalg.cholesky(covariances)
    centred = (x.unsqueeze(-3) - means.unsqueeze(-2)).transpose(-1, -2)  # (..., m, D, n)
    whitened = torch.linalg.solve_triangular(tril, centred, upper=False)
    log_det = 2 * tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    log_prob = -0.5 * (
        whitened.square().sum(-2) + log_det.unsqueeze(-1) + x.shape[-1] * math.log(2 * math.pi)
    )
    return log_prob.transpose(-1, -2)


def log_prob(x: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    """Log-densities of points under single Gaussians.

    Args:
        x: Points, (..., n, D).
        means: (..., m, D); leading dimensions broadcast against those of ``x``.
        covariances: Variances (..., m, D), or full matrices (..., m, D, D).

    Returns:
        Tensor: (..., n, m) in nats.
    """
    with full_products(x.device):
        x, means, covariances = map(full_precision, (x, means, covariances))
        diagonal = covariances.ndim == means.ndim
        return (_log_prob_diag if diagonal else _log_prob_full)(x, means, covariances)


def class_log_likelihood(x: Tensor, state: GaussianState) -> Tensor:
    """Log p(x | c) of every class's mixture (eq. 2).

    Args:
        x: Points, (..., D).
        state: Mixtures of K classes.

    Returns:
        Tensor: (..., K) in nats.
    """
    classes, components, dims = state.means.shape
    log_probs = log_prob(
        x.reshape(-1, dims), state.means.flatten(0, 1), state.covariances.flatten(0, 1)
    )
    weighted = log_probs.view(-1, classes, components) + state.log_weights
    return weighted.logsumexp(-1).view(*x.shape[:-1], classes)


def sample_mixture(
    state: GaussianState, labels: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Draw one point from the mixture of each given class: component by weight, then Gaussian.

    Args:
        state: Mixtures of K classes.
        labels: Class indices, (n,).
        generator: Source of randomness on the state's device; the global one if None.

    Returns:
        Tensor: (n, D), without gradient into the mixture.
    """
    with torch.no_grad(), full_products(labels.device):
        weights = state.log_weights[labels].exp()
        component = torch.multinomial(weights, 1, generator=generator).squeeze(1)
        means, covariances = state.means[labels, component], state.covariances[labels, component]
        noise = torch.randn(
            means.shape, generator=generator, dtype=means.dtype, device=means.device
        )
        if covariances.ndim == means.ndim:
            return means + covariances.sqrt() * noise
        return means + (torch.linalg.cholesky(covariances) @ noise.unsqueeze(-1)).squeeze(-1)
