"""EM against brute force, independent estimators and its own theorem."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from mixtures import double, random_state
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture
from torch import Tensor

from projects.cpm_avs.structures import GaussianState
from projects.cpm_avs.training.ccdm import em
from projects.cpm_avs.training.ccdm.em import e_step, em_update, m_step, momentum_update, reseed

CLASSES, COMPONENTS, DIMS, SLOTS = 4, 3, 3, 60
FILLED = torch.tensor([SLOTS, 25, 7, 0])  # class 3 is empty
both_forms = pytest.mark.parametrize("full", [False, True], ids=["diag", "full"])


def data(seed: int = 0, filled: Tensor = FILLED, dims: int = DIMS) -> tuple[Tensor, Tensor]:
    """Two clumps a class in float32, and junk in the slots that are not filled."""
    generator = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn(len(filled), 2, dims, generator=generator)
    clump = torch.randint(2, (len(filled), SLOTS), generator=generator)
    samples = torch.randn(len(filled), SLOTS, dims, generator=generator)
    samples += centres.gather(1, clump.unsqueeze(-1).expand(-1, -1, dims))
    valid = torch.arange(SLOTS) < filled.unsqueeze(-1)
    samples[~valid] = 1e6
    return samples, valid


def update(state, samples, valid, *, momentum=0.0, variance_floor=0.0, min_samples=1):
    return em_update(
        state,
        samples,
        valid,
        momentum=momentum,
        variance_floor=variance_floor,
        min_samples=min_samples,
    )


def matrix(covariance: np.ndarray) -> np.ndarray:
    return np.diag(covariance) if covariance.ndim == 1 else covariance


def brute_e_step(x: np.ndarray, state: GaussianState, label: int):
    """Eq. 3 for one class, a component at a time."""
    weighted = np.stack(
        [
            state.log_weights[label, m].item()
            + multivariate_normal.logpdf(
                x, state.means[label, m].numpy(), matrix(state.covariances[label, m].numpy())
            )
            for m in range(state.means.shape[1])
        ],
        1,
    )
    likelihood = logsumexp(weighted, axis=1)
    return np.exp(weighted - likelihood[:, None]), likelihood


@both_forms
def test_a_step_equals_a_loop_over_classes_and_components(full):
    samples, valid = data()
    state = double(random_state(DIMS, full=full))
    samples = samples.double()
    resp, likelihood = e_step(samples, valid, state)
    floor = 0.01
    new = m_step(samples, resp, state, floor)
    for label in range(CLASSES - 1):
        x = samples[label][valid[label]].numpy()
        own_resp, own_likelihood = brute_e_step(x, state, label)
        np.testing.assert_allclose(resp[label][valid[label]].numpy(), own_resp, rtol=1e-9)
        np.testing.assert_allclose(likelihood[label][valid[label]].numpy(), own_likelihood)
        for m in range(COMPONENTS):
            weights = own_resp[:, m]
            np.testing.assert_allclose(
                new.means[label, m].numpy(), np.average(x, axis=0, weights=weights)
            )
            covariance = np.cov(x.T, aweights=weights, ddof=0)
            if full:
                expected = covariance + floor * np.eye(DIMS)
            else:
                expected = np.maximum(np.diag(covariance), floor)
            np.testing.assert_allclose(
                new.covariances[label, m].numpy(), expected, rtol=1e-7, atol=1e-12
            )
        shares = np.maximum(own_resp.mean(0), 1e-6)
        np.testing.assert_allclose(new.log_weights[label].exp().numpy(), shares / shares.sum())
    assert not resp[~valid].any() and not likelihood[~valid].any()
    torch.testing.assert_close(resp.sum(-1), valid.double())


@both_forms
def test_classes_do_not_touch_each_other(full):
    samples, valid = data()
    state = random_state(DIMS, full=full)
    together = update(state, samples, valid, variance_floor=0.01)
    for label in range(CLASSES):
        one = slice(label, label + 1)
        alone = update(
            GaussianState(state.log_weights[one], state.means[one], state.covariances[one]),
            samples[one],
            valid[one],
            variance_floor=0.01,
        )
        torch.testing.assert_close(together.means[one], alone.means)
        torch.testing.assert_close(together.covariances[one], alone.covariances)
        torch.testing.assert_close(together.log_weights[one], alone.log_weights)


@both_forms
def test_one_component_is_the_mean_and_covariance(full):
    samples, valid = data(filled=torch.tensor([SLOTS, 25]))
    state = random_state(DIMS, full=full, classes=2, components=1)
    new = update(state, samples, valid)
    for label in range(2):
        x = samples[label][valid[label]].numpy()
        covariance = np.cov(x.T, ddof=0)
        expected = covariance if full else np.diag(covariance)
        np.testing.assert_allclose(new.means[label, 0].numpy(), x.mean(0), rtol=1e-4)
        np.testing.assert_allclose(new.covariances[label, 0].numpy(), expected, rtol=1e-4)
    assert torch.equal(new.log_weights, torch.zeros(2, 1))


@both_forms
def test_ten_steps_equal_scikit_learn(full):
    samples, valid = data(filled=torch.tensor([SLOTS]))
    state = double(random_state(DIMS, full=full, classes=1, components=2))
    state = GaussianState(state.log_weights, samples[:, :2].double(), state.covariances)
    covariances = state.covariances[0]
    peer = GaussianMixture(
        2,
        covariance_type="full" if full else "diag",
        reg_covar=0,
        max_iter=10,
        tol=0,
        weights_init=state.log_weights[0].exp().numpy(),
        means_init=state.means[0].numpy(),
        precisions_init=(covariances.inverse() if full else 1 / covariances).numpy(),
    )
    with pytest.warns(match="converge"):
        peer.fit(samples[0].double().numpy())
    for _ in range(10):
        state = update(state, samples.double(), valid)
    np.testing.assert_allclose(state.means[0].numpy(), peer.means_, rtol=1e-6)
    np.testing.assert_allclose(state.covariances[0].numpy(), peer.covariances_, rtol=1e-6)
    np.testing.assert_allclose(state.log_weights[0].exp().numpy(), peer.weights_, rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
@both_forms
def test_the_likelihood_never_falls_without_momentum(full, seed):
    filled = torch.tensor([SLOTS, 50, 40])
    samples, valid = data(seed, filled)
    state = double(random_state(DIMS, full=full, classes=3, components=2, seed=seed))
    samples = samples.double()
    # Wide components around each class's own mean, so that none starts without samples.
    centre = (samples * valid.unsqueeze(-1)).sum(1, keepdim=True) / filled.view(-1, 1, 1)
    state = GaussianState(state.log_weights, centre + state.means, 8 * state.covariances)
    history = []
    for _ in range(30):
        resp, likelihood = e_step(samples, valid, state)
        history.append(likelihood.sum(-1) / filled)
        assert resp.sum(1).min() > 1  # nothing to re-seed, which would be no step of EM
        state = update(state, samples, valid)
        torch.testing.assert_close(state.log_weights.exp().sum(-1), torch.ones(3).double())
    history = torch.stack(history)
    assert history.diff(dim=0).min() > -1e-9
    assert (history[-1] - history[0] > 0.2).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_likelihood_never_falls_under_a_variance_floor(seed):
    samples, valid = data(seed, filled=torch.tensor([SLOTS, 40, 12]))
    state = double(random_state(DIMS, classes=3, seed=seed))
    samples = samples.double()
    floor = 0.5  # which all components start above and many reach
    history = []
    for _ in range(30):
        resp, likelihood = e_step(samples, valid, state)
        history.append(likelihood.sum(-1) / valid.sum(-1))
        state = m_step(samples, resp, state, floor)
        assert state.covariances.min() >= floor
    assert (state.covariances == floor).any()
    # A dying component's weight is held at 1e-6, which costs the others that much.
    assert torch.stack(history).diff(dim=0).min() > -1e-5


@both_forms
def test_classes_with_no_or_few_samples_stay_as_they_are(full):
    samples, valid = data()
    state = random_state(DIMS, full=full)
    new = update(state, samples, valid, min_samples=10, variance_floor=0.01)
    for label, kept in enumerate([False, False, True, True]):  # 60, 25, 7 and 0 samples
        for name in ("log_weights", "means", "covariances"):
            before, after = getattr(state, name)[label], getattr(new, name)[label]
            assert torch.equal(before, after) == kept
            assert after.isfinite().all()


@both_forms
def test_an_empty_bank_changes_nothing(full):
    state = random_state(DIMS, full=full)
    samples = torch.zeros(CLASSES, SLOTS, DIMS)
    valid = torch.zeros(CLASSES, SLOTS, dtype=torch.bool)
    new = update(state, samples, valid, min_samples=0)
    for name in ("log_weights", "means", "covariances"):
        assert torch.equal(getattr(state, name), getattr(new, name))


def test_fewer_samples_than_components_are_too_few():
    samples, valid = data(filled=torch.tensor([2]))
    state = random_state(DIMS, classes=1)
    new = update(state, samples, valid, min_samples=1)
    assert torch.equal(new.means, state.means)


@both_forms
def test_m_step_keeps_a_component_without_samples_and_an_empty_class(full):
    samples, _ = data()
    state = double(random_state(DIMS, full=full))
    samples = samples.double()
    resp = torch.zeros(CLASSES, SLOTS, COMPONENTS, dtype=torch.double)
    resp[0, :, 0] = 0.25  # class 0: component 2 has none
    resp[0, :, 1] = 0.75
    samples[0, 25:] = samples[0, :25].repeat(2, 1)[:35]
    new = m_step(samples, resp, state, 0.01)
    weights = new.log_weights[0].exp()
    expected = torch.tensor([0.25, 0.75, 1e-6], dtype=torch.double)
    torch.testing.assert_close(weights, expected / 1.000001)
    assert torch.equal(new.means[0, 2], state.means[0, 2])
    assert torch.equal(new.covariances[0, 2], state.covariances[0, 2])
    assert torch.equal(new.log_weights[1:], state.log_weights[1:])
    assert torch.equal(new.means[1:], state.means[1:])


@both_forms
def test_samples_far_from_the_origin_keep_their_spread(full):
    samples, valid = data(filled=torch.tensor([SLOTS]))
    state = random_state(DIMS, full=full, classes=1)
    shifted = GaussianState(state.log_weights, state.means + 1e3, state.covariances)
    near = update(state, samples, valid)
    far = update(shifted, samples + 1e3, valid)
    torch.testing.assert_close(far.covariances, near.covariances, rtol=2e-2, atol=2e-3)


def test_momentum_hand_numbers():
    old = GaussianState(
        torch.tensor([[0.5, 0.5], [0.5, 0.5]]).log(),
        torch.tensor([[[0.0], [10.0]], [[1.0], [2.0]]]),
        torch.tensor([[[1.0], [2.0]], [[1.0], [2.0]]]),
    )
    new = GaussianState(
        torch.tensor([[0.9, 0.1], [0.9, 0.1]]).log(),
        torch.tensor([[[1.0], [20.0]], [[5.0], [5.0]]]),
        torch.tensor([[[3.0], [4.0]], [[9.0], [9.0]]]),
    )
    moved = momentum_update(old, new, 0.75, torch.tensor([True, False]))
    torch.testing.assert_close(moved.log_weights.exp(), torch.tensor([[0.6, 0.4], [0.5, 0.5]]))
    torch.testing.assert_close(moved.means, torch.tensor([[[0.25], [12.5]], [[1.0], [2.0]]]))
    torch.testing.assert_close(moved.covariances, torch.tensor([[[1.5], [2.5]], [[1.0], [2.0]]]))


@both_forms
def test_a_dead_component_splits_the_largest(full):
    samples, valid = data(filled=torch.tensor([SLOTS, SLOTS]))
    state = random_state(DIMS, full=full, classes=2)
    means = state.means.clone()
    means[0, 1] = 500.0  # explains nothing
    state = GaussianState(state.log_weights, means, state.covariances)
    resp, likelihood = e_step(samples, valid, state)
    assert resp.sum(1)[0, 1] < 1 < resp.sum(1)[0].max()
    new = update(state, samples, valid, variance_floor=0.01)
    fitted = m_step(samples, resp, state, 0.01)
    largest = resp.sum(1)[0].argmax()
    # One standard deviation away, with the parent's covariance and half of its weight.
    covariance = fitted.covariances[0, largest]
    variance = covariance.diagonal() if full else covariance
    distance = (new.means[0, 1] - fitted.means[0, largest]) / variance.sqrt()
    assert distance.norm().item() == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(new.covariances[0, 1], covariance)
    torch.testing.assert_close(new.log_weights[0, 1], new.log_weights[0, largest])
    torch.testing.assert_close(new.log_weights.exp().sum(-1), torch.ones(2))
    # The others, and the class in which all live, follow plain EM.
    torch.testing.assert_close(new.means[0, [0, 2]], fitted.means[0, [0, 2]])
    torch.testing.assert_close(new.means[1], fitted.means[1])
    resp, _ = e_step(samples, valid, new)
    assert resp.sum(1).min() >= 1  # it lives again


def test_components_that_die_together_part():
    state = random_state(DIMS, classes=2)
    counts = torch.tensor([[20.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
    new = reseed(state, counts, torch.tensor([True, False]))
    assert len(new.means[0].unique(dim=0)) == COMPONENTS
    torch.testing.assert_close(new.log_weights[0].exp(), torch.full((COMPONENTS,), 1 / 3))
    assert torch.equal(new.means[0, 0], state.means[0, 0])
    assert torch.equal(new.means[1], state.means[1])  # not ready


def test_mixtures_far_from_all_samples_find_them_under_momentum():
    # As at the start of training: random unit means, tight embeddings somewhere else.
    generator = torch.Generator().manual_seed(0)
    centres = torch.nn.functional.normalize(torch.randn(3, 1, 256, generator=generator), dim=-1)
    samples = centres + 0.3 * torch.randn(3, SLOTS, 256, generator=generator) / 16
    samples = torch.nn.functional.normalize(samples, dim=-1)
    state = GaussianState(
        torch.full((3, 3), -math.log(3)),
        torch.nn.functional.normalize(torch.randn(3, 3, 256, generator=generator), dim=-1),
        torch.full((3, 3, 256), 1 / 256),
    )
    valid = torch.ones(3, SLOTS, dtype=torch.bool)
    history = []
    for _ in range(60):
        state = update(
            state, samples, valid, momentum=0.9, variance_floor=0.25 / 256, min_samples=16
        )
        history.append(e_step(samples, valid, state)[1].mean().item())
    assert history == sorted(history) and history[-1] - history[0] > 100
    assert (state.means * centres).sum(-1).min() > 0.9


@both_forms
def test_coarse_products_are_off_in_both_steps(full, monkeypatch):
    samples, valid = data()
    seen = []

    def spy(*args: Any) -> GaussianState:
        seen.append(torch.backends.mkldnn.matmul.fp32_precision)
        return m_step(*args)

    monkeypatch.setattr(em, "m_step", spy)
    torch.set_float32_matmul_precision("medium")
    try:
        update(random_state(DIMS, full=full), samples, valid)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == ["ieee"]


@both_forms
def test_autocast_changes_nothing(full):
    samples, valid = data()
    state = random_state(DIMS, full=full)
    expected = update(state, samples, valid, momentum=0.5, variance_floor=0.01)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = update(state, samples, valid, momentum=0.5, variance_floor=0.01)
    for name in ("log_weights", "means", "covariances"):
        assert getattr(found, name).dtype == torch.float32
        assert torch.equal(getattr(found, name), getattr(expected, name))
