"""Expectation maximisation for one Gaussian mixture per class, as pure functions (eq. 3-4).

K classes with no-object, S samples a class of which the first some are valid, M components,
D dimensions. All classes and components are computed at once.
"""

import torch
from torch import Tensor

from ...models.cpm.gaussian_functional import log_prob
from ...models.precision import full_precision, full_products
from ...structures import GaussianState


def e_step(samples: Tensor, valid: Tensor, state: GaussianState) -> tuple[Tensor, Tensor]:
    """Responsibilities of a class's components for its own samples (eq. 3).

    Args:
        samples: (K, S, D).
        valid: (K, S) bool.
        state: Mixtures before the step.

    Returns:
        tuple: Responsibilities (K, S, M), each valid row summing to 1 and the others 0, and the
        log-likelihood log p(x | c) of every sample (K, S), 0 where invalid.
    """
    weighted = log_prob(samples, state.means, state.covariances) + state.log_weights.unsqueeze(1)
    log_likelihood = weighted.logsumexp(-1)
    resp = (weighted - log_likelihood.unsqueeze(-1)).exp() * valid.unsqueeze(-1)
    return resp, log_likelihood * valid


def m_step(
    samples: Tensor, resp: Tensor, previous: GaussianState, variance_floor: float
) -> GaussianState:
    """Means, covariances and weights that maximise the expected likelihood (eq. 4).

    The paper divides N_cm by the size of the whole bank; here by the class's own number of
    samples, so that the weights of a class sum to 1, as eq. 2 demands.

    Args:
        samples: (K, S, D).
        resp: Responsibilities of the E-step, (K, S, M).
        previous: Gives the values of components without samples, and the covariance's form.
        variance_floor: The least a variance can be; to the diagonal of a full covariance it is
            added, which bounds the eigenvalues.

    Returns:
        GaussianState: New mixtures. A class without samples keeps the previous ones.
    """
    counts = resp.sum(1)  # N_cm, (K, M)
    populated = counts > 0
    shares = resp / counts.clamp(min=torch.finfo(resp.dtype).tiny).unsqueeze(1)
    means = shares.transpose(1, 2) @ samples
    covariances = _COVARIANCES[previous.covariances.ndim](samples, shares, means, variance_floor)
    weights = counts / counts.sum(-1, keepdim=True).clamp(min=1e-12)
    # A weight of exactly 0 would be -inf in log space, and 0 * inf a NaN when it is mixed in.
    weights = weights.clamp(min=1e-6)
    log_weights = (weights / weights.sum(-1, keepdim=True)).log()
    return GaussianState(
        torch.where(populated.any(-1, keepdim=True), log_weights, previous.log_weights),
        torch.where(populated.unsqueeze(-1), means, previous.means),
        torch.where(
            populated.view(*populated.shape, *[1] * (covariances.ndim - 2)),
            covariances,
            previous.covariances,
        ),
    )


def _diagonal(samples: Tensor, shares: Tensor, means: Tensor, floor: float) -> Tensor:
    # E[x^2] - mean^2 loses its digits where a mean dwarfs the spread. With data centred on their
    # class, that is only so for a component many spreads away from the class's others.
    centre = means.mean(1, keepdim=True)
    squares = shares.transpose(1, 2) @ (samples - centre).square()
    return (squares - (means - centre).square()).clamp(min=floor)


def _full(samples: Tensor, shares: Tensor, means: Tensor, floor: float) -> Tensor:
    covariances = []
    for m in range(means.shape[1]):
        centred = samples - means[:, m, None]
        covariances.append((shares[..., m, None] * centred).transpose(1, 2) @ centred)
    identity = torch.eye(samples.shape[-1], dtype=samples.dtype, device=samples.device)
    return torch.stack(covariances, 1) + floor * identity


_COVARIANCES = {3: _diagonal, 4: _full}


def momentum_update(
    old: GaussianState, new: GaussianState, momentum: float, ready: Tensor
) -> GaussianState:
    """Move the mixtures of the ready classes a little towards the new ones.

    Args:
        old: Mixtures before the step.
        new: Mixtures of the M-step.
        momentum: Share of the old value that stays, in [0, 1); 0 is plain EM.
        ready: Classes with enough samples, (K,) bool; the others stay as they are.
    """

    def choose(before: Tensor, after: Tensor) -> Tensor:
        return torch.where(ready.view(-1, *[1] * (before.ndim - 1)), after, before)

    weights = torch.lerp(new.log_weights.exp(), old.log_weights.exp(), momentum)
    return GaussianState(
        choose(old.log_weights, (weights / weights.sum(-1, keepdim=True)).log()),
        choose(old.means, torch.lerp(new.means, old.means, momentum)),
        choose(old.covariances, torch.lerp(new.covariances, old.covariances, momentum)),
    )


def reseed(state: GaussianState, counts: Tensor, ready: Tensor) -> GaussianState:
    """Bring dead components back by splitting the largest component of their class.

    A dead one moves beside the largest: by one standard deviation in a direction of its own, since
    in D dimensions anything further would leave it without samples again. It takes over that one's
    covariance and an equal share of the weight, so that the class's density hardly changes. Samples
    that the mixture explains badly are no place to start: they are mostly wrong matches, amid
    another class. Nothing is random, so that all ranks do the same.

    Args:
        state: Mixtures.
        counts: N_cm of the E-step, (K, M).
        ready: Classes that may be changed, (K,) bool.
    """
    dead = (counts < 1) & ready.unsqueeze(-1)
    largest = counts.argmax(-1)
    classes = torch.arange(len(counts), device=counts.device)
    parent_mean = state.means[classes, largest].unsqueeze(1)
    parent_covariance = state.covariances[classes, largest].unsqueeze(1)
    full = state.covariances.ndim == 4
    variance = parent_covariance.diagonal(dim1=-2, dim2=-1) if full else parent_covariance
    beside = parent_mean + variance.sqrt() * _directions(state.means)

    shared = dead.scatter(1, largest.unsqueeze(1), True) & dead.any(-1, keepdim=True)
    weights = state.log_weights.exp()
    share = (weights * shared).sum(-1, keepdim=True) / shared.sum(-1, keepdim=True).clamp(min=1)
    return GaussianState(
        torch.where(shared, share.log(), state.log_weights),
        torch.where(dead.unsqueeze(-1), beside, state.means),
        torch.where(
            dead.view(*dead.shape, *[1] * (state.covariances.ndim - 2)),
            parent_covariance,
            state.covariances,
        ),
    )


def _directions(like: Tensor) -> Tensor:
    """One fixed unit vector a component, (M, D)."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(like.shape[1:], generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(directions, dim=-1).to(like)


def em_update(
    state: GaussianState,
    samples: Tensor,
    valid: Tensor,
    *,
    momentum: float,
    variance_floor: float,
    min_samples: int,
) -> GaussianState:
    """One E-step, one M-step, a step by momentum, and re-seeding.

    Args:
        state: Mixtures of K classes.
        samples: (K, S, D).
        valid: (K, S) bool.
        momentum: See ``momentum_update``.
        variance_floor: See ``m_step``.
        min_samples: Classes with fewer samples are left alone.
    """
    ready = valid.sum(-1) >= max(min_samples, state.means.shape[1])
    with full_products(samples.device):
        samples = full_precision(samples)
        resp, _ = e_step(samples, valid, state)
        fitted = m_step(samples, resp, state, variance_floor)
        moved = momentum_update(state, fitted, momentum, ready)
        return reseed(moved, resp.sum(1), ready)
