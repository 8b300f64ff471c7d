"""Mixture densities against torch.distributions, and samples against their own parameters."""

import math

import pytest
import torch
from mixtures import CLASSES, POINTS, double, gaussians, mixtures, random_state
from torch import Tensor

from projects.cpm_avs.models.cpm import gaussian_functional
from projects.cpm_avs.models.cpm.gaussian_functional import (
    class_log_likelihood,
    log_prob,
    sample_mixture,
)
from projects.cpm_avs.models.precision import full_products
from projects.cpm_avs.structures import GaussianState


def points_near(state: GaussianState, seed: int = 1) -> Tensor:
    """Points around the first component of class 0."""
    generator = torch.Generator().manual_seed(seed)
    return state.means[0, 0] + torch.randn(POINTS, state.means.shape[-1], generator=generator)


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("full", [False, True], ids=["diag", "full"])
@pytest.mark.parametrize("dims", [1, 16, 256])
def test_log_densities_equal_torch_distributions(dims, full, offset):
    state = random_state(dims, full=full, offset=offset)
    x = points_near(state)
    found = log_prob(x, state.means.flatten(0, 1), state.covariances.flatten(0, 1))
    expected = gaussians(state).log_prob(x.double()[:, None, None]).flatten(1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)

    likelihood = class_log_likelihood(x, state)
    expected = mixtures(state).log_prob(x.double()[:, None])
    torch.testing.assert_close(likelihood.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("full", [False, True], ids=["diag", "full"])
def test_points_far_from_all_means_keep_their_digits(full):
    state = random_state(256, full=full)
    x = points_near(state) + 1e3
    expected = mixtures(state).log_prob(x.double()[:, None])
    likelihood = class_log_likelihood(x, state)
    torch.testing.assert_close(likelihood.double(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("full", [False, True], ids=["diag", "full"])
def test_float64_is_exact_and_its_gradient_is_right(full):
    state = double(random_state(5, full=full))
    x = points_near(state)[:4].double().requires_grad_()
    expected = mixtures(state).log_prob(x[:, None])
    torch.testing.assert_close(class_log_likelihood(x, state), expected, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x: class_log_likelihood(x, state), x)


def test_leading_dimensions_broadcast_class_by_class():
    state = random_state(7, full=True)
    x = torch.randn(CLASSES, 6, 7)
    found = log_prob(x, state.means, state.covariances)
    for label in range(CLASSES):
        own = log_prob(x[label], state.means[label], state.covariances[label])
        torch.testing.assert_close(found[label], own)
    queries = torch.randn(2, 3, 7)
    likelihood = class_log_likelihood(queries, state)
    assert likelihood.shape == (2, 3, CLASSES)
    torch.testing.assert_close(likelihood[1, 2], class_log_likelihood(queries[1, 2], state))


@pytest.mark.parametrize("full", [False, True], ids=["diag", "full"])
def test_autocast_changes_nothing(full):
    state = random_state(256, full=full, offset=3.0)
    x = points_near(state)
    expected = class_log_likelihood(x, state)
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype=dtype):
            found = class_log_likelihood(x, state)
            half = class_log_likelihood(x.to(dtype), state)
        assert found.dtype == half.dtype == torch.float32
        assert torch.equal(found, expected)
        assert torch.equal(half, class_log_likelihood(x.to(dtype).float(), state))


def matmul_precisions() -> tuple[str, str]:
    """How CUDA and the CPU multiply float32 matrices."""
    return (
        torch.backends.cuda.matmul.fp32_precision,
        torch.backends.mkldnn.matmul.fp32_precision,
    )


def allow(what: str) -> None:
    """Allow coarser products by one of the calls there are for it."""
    if what == "allow_tf32":
        torch.backends.cuda.matmul.allow_tf32 = True
    elif what == "fp32_precision":
        torch.backends.cuda.matmul.fp32_precision = "tf32"
    else:
        torch.set_float32_matmul_precision(what)


@pytest.fixture(params=["allow_tf32", "fp32_precision", "high", "medium"])
def coarse_products(request):
    """Products of float32 in TF32 or bfloat16; gives what is set."""
    before = matmul_precisions()
    allow(request.param)
    yield matmul_precisions()
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision = before


@pytest.mark.parametrize("full", [False, True], ids=["diag", "full"])
def test_coarse_products_are_off_inside_and_back_after(full, coarse_products, monkeypatch):
    assert {"tf32", "bf16"} & set(coarse_products)
    seen = []
    form = "_log_prob_full" if full else "_log_prob_diag"
    original = getattr(gaussian_functional, form)

    def spy(*args: Tensor) -> Tensor:
        seen.append(matmul_precisions())
        return original(*args)

    monkeypatch.setattr(gaussian_functional, form, spy)
    class_log_likelihood(torch.randn(2, 16), random_state(16, full=full))
    assert len(seen) == 1 and {*seen[0]} <= {"ieee", "none"}
    assert matmul_precisions() == coarse_products
    with pytest.raises(RuntimeError):  # torch's, in the middle of the sum
        class_log_likelihood(torch.randn(2, 3), random_state(16, full=full))
    assert matmul_precisions() == coarse_products


def test_exact_products_stay_as_they_are_set():
    # "none" follows the setting above it, and shall go on following it.
    before = matmul_precisions()
    with full_products(torch.device("cpu")):
        assert matmul_precisions() == before
    assert matmul_precisions() == before


def test_the_order_of_components_does_not_matter():
    state = random_state(16)
    order = torch.tensor([2, 0, 1])
    shuffled = GaussianState(
        state.log_weights[:, order], state.means[:, order], state.covariances[:, order]
    )
    x = points_near(state)
    torch.testing.assert_close(class_log_likelihood(x, state), class_log_likelihood(x, shuffled))


def test_scaled_weights_shift_a_class_by_a_constant():
    state = random_state(16)
    scaled = GaussianState(state.log_weights + math.log(5), state.means, state.covariances)
    x = points_near(state)
    shift = class_log_likelihood(x, scaled) - class_log_likelihood(x, state)
    torch.testing.assert_close(shift, torch.full_like(shift, math.log(5)))


def test_no_points():
    state = random_state(16)
    assert class_log_likelihood(torch.zeros(0, 16), state).shape == (0, CLASSES)
    assert sample_mixture(state, torch.zeros(0, dtype=torch.long)).shape == (0, 16)


@pytest.mark.parametrize("full", [False, True], ids=["diag", "full"])
def test_samples_have_the_mixtures_mean_and_covariance(full):
    state = random_state(3, full=full, classes=2, components=2)
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([1]).repeat(200_000)
    x = sample_mixture(state, labels, generator)
    assert x.shape == (len(labels), 3) and x.dtype == torch.float32

    weights = state.log_weights[1].exp()
    mean = (weights[:, None] * state.means[1]).sum(0)
    covariances = state.covariances[1]
    covariances = covariances if full else torch.diag_embed(covariances)
    centred = state.means[1] - mean
    second = covariances + centred[:, :, None] * centred[:, None, :]
    torch.testing.assert_close(x.mean(0), mean, atol=0.02, rtol=0)
    expected = (weights[:, None, None] * second).sum(0)
    torch.testing.assert_close(x.T.cov(), expected, atol=0.04, rtol=0)


def test_components_are_drawn_by_weight_and_classes_by_label():
    # Components so far apart that each sample tells which one it came from.
    means = torch.tensor([[[0.0], [100.0]], [[200.0], [300.0]]])
    weights = torch.tensor([[0.9, 0.1], [0.3, 0.7]])
    state = GaussianState(weights.log(), means, torch.ones(2, 2, 1))
    labels = torch.arange(2).repeat(20_000)
    x = sample_mixture(state, labels, torch.Generator().manual_seed(0)).squeeze(1)
    origin = (x / 100).round().long()
    assert torch.equal(origin // 2, labels)
    frequencies = origin.bincount(minlength=4) / 20_000
    torch.testing.assert_close(frequencies, weights.flatten(), atol=0.015, rtol=0)


@pytest.mark.parametrize("full", [False, True], ids=["diag", "full"])
def test_samples_repeat_with_the_generator_and_carry_no_gradient(full):
    state = random_state(16, full=full)
    state = GaussianState(state.log_weights, state.means.requires_grad_(), state.covariances)
    labels = torch.tensor([0, 3, 3])
    first, second = (
        sample_mixture(state, labels, torch.Generator().manual_seed(7)) for _ in range(2)
    )
    assert torch.equal(first, second) and not first.requires_grad
    assert not torch.equal(first[1], first[2])  # two prompts of one class differ
    with torch.autocast("cpu", dtype=torch.bfloat16):
        third = sample_mixture(state, labels, torch.Generator().manual_seed(7))
    assert torch.equal(first, third)
