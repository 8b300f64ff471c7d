"""The classifier slot: a linear softmax layer, or Bayes' rule over Gaussian mixtures (eq. 1-2)."""

import math

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import GaussianState
from ..precision import full_products
from .gaussian_functional import class_log_likelihood


@MODELS.register_module()
class LinearClassifier(BaseModule):
    """Softmax classifier, the baseline of Table 4 and the "Point Rep." of Table 5.

    Args:
        num_classes: C, classes with background; no-object is added as the last output.
        embed_dims: D.
    """

    def __init__(self, *, num_classes: int, embed_dims: int) -> None:
        super().__init__()
        self.fc = nn.Linear(embed_dims, num_classes + 1)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Map q~ (..., D) to logits (..., C + 1)."""
        return self.fc(embeddings)


@MODELS.register_module()
class GMMClassifier(BaseModule):
    """Generative classifier: softmax of tempered class log-likelihoods, uniform prior (eq. 1).

    The mixtures live on the unit sphere: an embedding is layer-normed and divided by its length.
    Nothing is learned by gradient but the logits' scale; means, covariances and weights are
    buffers that ``load_state`` overwrites in place, while it keeps the logits' slope.

    Until a class has samples, its components stand where they started, at a random direction of
    their own. In high dimensions such directions are nearly orthogonal, so the posterior is that
    of a fixed prototype classifier with usable gradients, and prompts scatter around a direction
    that no other class has.

    Args:
        num_classes: C, classes with background; no-object is added as the last output.
        embed_dims: D.
        num_components: M.
        covariance: ``'diag'`` or ``'full'``.
        init_logit_scale: Slope of the logits in the cosine between embedding and mean, at the
            start of training; from there on it is learned.
    """

    # Components of a class start this far from their common direction (before normalising).
    _SPREAD = 0.5

    def __init__(
        self,
        *,
        num_classes: int,
        embed_dims: int,
        num_components: int = 3,
        covariance: str = "diag",
        init_logit_scale: float = 25.0,
    ) -> None:
        super().__init__()
        if covariance not in ("diag", "full"):
            raise ValueError(f"covariance is {covariance!r}; choose 'diag' or 'full'")
        if num_components < 1:
            raise ValueError(f"num_components is {num_components}; a mixture needs at least 1")
        self.embed_dims = embed_dims
        shape = (num_classes + 1, num_components, embed_dims)
        directions = F.normalize(torch.randn(num_classes + 1, 1, embed_dims), dim=-1)
        offsets = self._SPREAD * F.normalize(torch.randn(shape), dim=-1)
        # A variance of 1/D makes the expected squared length of a sample's deviation 1: as wide
        # as the sphere allows, so that no embedding is out of reach at the start.
        variances = torch.full(shape, 1 / embed_dims)
        self.register_buffer("log_weights", torch.full(shape[:2], -math.log(num_components)))
        self.register_buffer("means", F.normalize(directions + offsets, dim=-1))
        self.register_buffer(
            "covariances", variances if covariance == "diag" else torch.diag_embed(variances)
        )
        # Log-densities grow with D: on the sphere, at variance 1/D, they fall by D for every unit
        # of cosine, and a posterior of raw densities at D = 256 is one-hot for any input, with no
        # gradient. Dividing by D and multiplying by a learned slope keeps it trainable at once.
        self.log_scale = nn.Parameter(torch.tensor(math.log(init_logit_scale / embed_dims)))

    @property
    def state(self) -> GaussianState:
        """The mixtures of the C + 1 classes; a view of the buffers."""
        return GaussianState(self.log_weights, self.means, self.covariances)

    def normalize(self, embeddings: Tensor) -> Tensor:
        """Bring q~ (..., D) onto the unit sphere on which the mixtures live, in float32."""
        centred = F.layer_norm(embeddings.float(), (self.embed_dims,))
        return F.normalize(centred, dim=-1)

    def to_query(self, points: Tensor) -> Tensor:
        """Bring points (..., D) of the mixtures' space to the scale of layer-normed queries.

        Points on the sphere come to a mean square of 1; samples of a fresh mixture, whose variances
        are wide, come to 2 on average, those of one that EM has wholly fitted to between 1 and
        1.25, the latter where all its variances are at their floor of 0.25 / D.
        """
        return points * math.sqrt(self.embed_dims)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Map q~ (..., D) to logits (..., C + 1) whose softmax is the posterior of eq. 1."""
        with full_products(embeddings.device):
            log_likelihood = class_log_likelihood(self.normalize(embeddings), self.state)
            return self.log_scale.exp() * log_likelihood

    @torch.no_grad()
    def load_state(self, state: GaussianState) -> None:
        """Overwrite the mixtures in place, and keep the slope that the logits have in the cosine.

        Log-likelihoods rise by 1 / variance for every unit of cosine, and fitted mixtures are up to
        four times narrower than those of the start; a posterior that sharpens along with them is
        sure also where it is wrong. So what the variances lose (their geometric mean, over all
        classes and dimensions) is taken off the logits' scale. What was learned stays, and so
        does which class comes first.
        """
        before, after = (self._variances(c) for c in (self.covariances, state.covariances))
        self.log_scale.add_((after.log() - before.log()).mean())
        self.log_weights.copy_(state.log_weights)
        self.means.copy_(state.means)
        self.covariances.copy_(state.covariances)

    @staticmethod
    def _variances(covariances: Tensor) -> Tensor:
        """Variance of each dimension, (C + 1, M, D)."""
        return covariances if covariances.ndim == 3 else covariances.diagonal(dim1=-2, dim2=-1)
