"""The classifier slot: Bayes' rule on the sphere, its gradients, and the mixtures' life."""

import math

import pytest
import torch
import torch.nn.functional as F
from mixtures import mixtures, random_state

from projects.cpm_avs.models import GMMClassifier, LinearClassifier
from projects.cpm_avs.models.cpm.gaussian_functional import sample_mixture
from projects.cpm_avs.structures import GaussianState

CLASSES = 5  # with background; no-object comes on top


def make(dims: int = 16, *, seed: int = 0, **kwargs) -> GMMClassifier:
    torch.manual_seed(seed)
    return GMMClassifier(num_classes=CLASSES, embed_dims=dims, **kwargs)


@pytest.mark.parametrize("dims", [16, 256])
@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_posterior_is_bayes_rule_by_torch_distributions(covariance, dims):
    classifier = make(dims, covariance=covariance)
    state = random_state(dims, full=covariance == "full", classes=CLASSES + 1)
    small = GaussianState(state.log_weights, state.means / dims**0.5, state.covariances / dims)
    classifier.load_state(small)
    embeddings = 3 + 10 * torch.randn(2, 7, dims)

    x = embeddings.double()
    x = x - x.mean(-1, keepdim=True)
    x = x / x.norm(dim=-1, keepdim=True)
    temperature = classifier.log_scale.exp().item()
    densities = mixtures(small).log_prob(x.unsqueeze(-2))  # log p(x | c)
    tempered = (temperature * densities).exp()  # uniform prior: it cancels
    posterior = tempered / tempered.sum(-1, keepdim=True)

    logits = classifier(embeddings)
    assert logits.shape == (2, 7, CLASSES + 1)
    torch.testing.assert_close(logits.softmax(-1).double(), posterior, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(logits.double(), temperature * densities, rtol=1e-4, atol=1e-4)


def first_step(classifier: GMMClassifier) -> tuple[float, float]:
    """Gradient norm on the queries, and the mean confidence, of a first cross-entropy."""
    queries = F.layer_norm(torch.randn(100, 256), (256,)).requires_grad_()
    labels = torch.arange(100) % (CLASSES + 1)
    logits = classifier(queries)
    F.cross_entropy(logits, labels).backward()
    return queries.grad.norm().item(), logits.softmax(-1).amax(-1).mean().item()


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_the_tempered_posterior_is_not_saturated_in_the_first_iteration(covariance):
    gradient, confidence = first_step(make(256, covariance=covariance))
    assert 1e-3 < gradient < 1
    assert confidence < 0.8


def test_without_the_temperature_it_would_be():
    classifier = make(256)
    torch.nn.init.zeros_(classifier.log_scale)
    assert first_step(classifier)[1] > 0.95


def test_queries_learn_their_class_from_the_first_iteration():
    classifier = make(256)
    queries = torch.nn.Parameter(torch.randn(60, 256))
    labels = torch.arange(60) % (CLASSES + 1)
    optimizer = torch.optim.AdamW([queries, *classifier.parameters()], lr=0.05)
    losses = []
    for _ in range(20):
        loss = F.cross_entropy(classifier(F.layer_norm(queries, (256,))), labels)
        optimizer.zero_grad()
        loss.backward()
        assert classifier.log_scale.grad.isfinite()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1 and losses[-1] < 0.2
    assert losses == sorted(losses, reverse=True)


def test_a_constant_query_does_no_harm():
    queries = torch.full((1, 256), 3.0, requires_grad=True)
    logits = make(256)(queries)
    logits.sum().backward()
    assert logits.isfinite().all() and queries.grad.isfinite().all()


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_prompts_are_defined_before_any_sample(covariance):
    classifier = make(256, covariance=covariance)
    labels = torch.arange(CLASSES + 1).repeat(50)
    prompts = classifier.to_query(sample_mixture(classifier.state, labels))
    assert prompts.isfinite().all() and len(prompts.unique(dim=0)) == len(prompts)
    # Scattered around a direction of their own class: |mean|^2 = 1, and D variances of 1 / D.
    assert prompts.square().mean() == pytest.approx(2, rel=0.05)
    assert (classifier(prompts).argmax(-1) == labels).float().mean() > 0.99


def test_points_come_back_at_the_scale_of_layer_normed_queries():
    classifier = make(256)
    queries = F.layer_norm(torch.randn(4, 256), (256,))
    found = classifier.to_query(classifier.normalize(queries))
    torch.testing.assert_close(found, queries, rtol=1e-4, atol=1e-4)


def test_a_fresh_mixture_is_normalised_and_isotropic():
    classifier = make(64, num_components=4)
    weights = classifier.log_weights.exp()
    torch.testing.assert_close(weights.sum(-1), torch.ones(CLASSES + 1))
    torch.testing.assert_close(classifier.means.norm(dim=-1), torch.ones(CLASSES + 1, 4))
    assert torch.equal(classifier.covariances, torch.full((CLASSES + 1, 4, 64), 1 / 64))
    cosine = classifier.means[:, 0] @ classifier.means[:, 0].T
    assert cosine.fill_diagonal_(0).abs().max() < 0.6
    distances = torch.cdist(classifier.means, classifier.means)
    assert (distances + 9 * torch.eye(4) > 0.1).all()  # components of a class differ


def test_full_starts_as_diag():
    diag, full = make(16), make(16, covariance="full")
    queries = torch.randn(6, 16)
    torch.testing.assert_close(diag(queries), full(queries))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(dtype):
    classifier, queries = make(256), torch.randn(9, 256)
    expected = classifier(queries)
    with torch.autocast("cpu", dtype=dtype):
        found = classifier(queries)
        half = classifier(queries.to(dtype))
        points = classifier.normalize(queries.to(dtype))
    assert found.dtype == half.dtype == points.dtype == torch.float32
    assert torch.equal(found, expected)
    assert torch.equal(half, classifier(queries.to(dtype).float()))


def test_loading_a_state_writes_into_the_buffers():
    classifier = make(16)
    storage = [buffer.data_ptr() for buffer in classifier.buffers()]
    state = random_state(16, classes=CLASSES + 1)
    before = classifier.state
    classifier.load_state(state)
    state.means.zero_()  # a later change of the source must not leak in
    assert [buffer.data_ptr() for buffer in classifier.buffers()] == storage
    expected = random_state(16, classes=CLASSES + 1)
    for seen in (before, classifier.state):  # states are views
        assert torch.equal(seen.means, expected.means)
        assert torch.equal(seen.log_weights, expected.log_weights)
        assert torch.equal(seen.covariances, expected.covariances)


def test_mixtures_are_in_the_checkpoint_and_only_the_temperature_is_learned():
    classifier = make(16)
    assert set(classifier.state_dict()) == {
        "log_weights",
        "means",
        "covariances",
        "log_scale",
    }
    assert [name for name, _ in classifier.named_parameters()] == ["log_scale"]
    other = make(16, seed=1)
    other.load_state_dict(classifier.state_dict(), strict=True)
    queries = torch.randn(3, 16)
    assert torch.equal(other(queries), classifier(queries))


def test_linear_classifier_is_a_layer_with_no_object_last():
    classifier = LinearClassifier(num_classes=CLASSES, embed_dims=4)
    embeddings = torch.randn(2, 3, 4)
    expected = embeddings @ classifier.fc.weight.T + classifier.fc.bias
    torch.testing.assert_close(classifier(embeddings), expected)
    assert classifier(embeddings).shape == (2, 3, CLASSES + 1)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'tied'.*'diag' or 'full'"):
        make(covariance="tied")
    with pytest.raises(ValueError, match="num_components is 0"):
        make(num_components=0)
    with pytest.raises(TypeError):
        make(components=3)


def test_the_slope_in_the_cosine_is_the_one_asked_for():
    classifier = make(256, num_components=1, init_logit_scale=10.0)
    mean = classifier.normalize(classifier.means[0, 0])  # centred, as the embeddings are
    classifier.means[0, 0] = mean
    across = torch.randn(256)
    across = across - across.mean()
    across = F.normalize(across - (across @ mean) * mean, dim=-1)
    logits = classifier(
        torch.stack([math.cos(a) * mean + math.sin(a) * across for a in (0.2, 1.0)])
    )[:, 0]
    slope = (logits[0] - logits[1]) / (math.cos(0.2) - math.cos(1.0))
    assert slope.item() == pytest.approx(10.0, rel=1e-3)


def narrowed(classifier: GMMClassifier, factor: float) -> GaussianState:
    state = classifier.state
    return GaussianState(state.log_weights.clone(), state.means.clone(), factor * state.covariances)


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_a_posterior_does_not_sharpen_as_the_variances_shrink(covariance):
    classifier = make(64, num_components=1, covariance=covariance)
    with torch.no_grad():
        classifier.log_scale += 0.3  # what was learned stays
    queries = torch.randn(50, 64)
    expected = classifier(queries).softmax(-1)
    for factor in (0.5, 0.5, 4.0):
        classifier.load_state(narrowed(classifier, factor))
        torch.testing.assert_close(classifier(queries).softmax(-1), expected, rtol=1e-3, atol=1e-5)


def test_the_scale_follows_the_geometric_mean_of_the_variances():
    classifier = make(4, num_components=1)
    state = narrowed(classifier, 1.0)
    state.covariances[0] *= 2.0**-12  # one of six classes
    classifier.load_state(state)
    assert classifier.log_scale.exp().item() == pytest.approx(25 / 4 / 4)
