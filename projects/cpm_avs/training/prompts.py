"""Class-conditional prompts z^k: drawn from mixtures, or one learned point a class (Table 5)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from projects.cpm_avs.models.gaussian_functional import sample_mixture

from .protocols import GenerativeClassifier


@dataclass(frozen=True)
class Prompts:
    """The prompts of a batch, padded to the largest number that an image has (at least 1).

    Attributes:
        content: (B, Q, D), in the scale of layer-normed queries.
        labels: Class k of each prompt, (B, Q); 0 where padded.
        padding: (B, Q) bool.
    """

    content: Tensor
    labels: Tensor
    padding: Tensor


def pad_labels(sounding: Tensor) -> tuple[Tensor, Tensor]:
    """List the classes of each image.

    Args:
        sounding: (B, C) bool.

    Returns:
        tuple: Labels (B, Q), ascending and 0 where padded, and padding (B, Q) bool.
    """
    counts = sounding.sum(-1)
    slots = max(int(counts.max()), 1)
    # A stable sort of "absent" puts the present classes first, in order.
    labels = (~sounding).to(torch.uint8).argsort(stable=True, dim=-1)[:, :slots]
    padding = torch.arange(slots, device=sounding.device) >= counts.unsqueeze(-1)
    return labels.masked_fill(padding, 0), padding


class GaussianPrompter(nn.Module):
    """Draws a prompt from the mixture of each class, new ones in every iteration."""

    def forward(self, classifier: GenerativeClassifier, labels: Tensor) -> Tensor:
        """Prompts of classes (B, Q): (B, Q, D), without gradient into the mixtures."""
        if not hasattr(classifier, "state"):
            raise ValueError(
                f"prompts can't be drawn from a {type(classifier).__name__}; use a GMMClassifier, "
                "or prompt_type='point'"
            )
        points = sample_mixture(classifier.state, labels.flatten())
        return classifier.to_query(points).view(*labels.shape, -1)


class PointPrompter(nn.Module):
    """One learned prompt a class, the "Point Rep." of Table 5.

    Args:
        num_classes: C.
        embed_dims: D.
    """

    def __init__(self, *, num_classes: int, embed_dims: int) -> None:
        super().__init__()
        self.points = nn.Embedding(num_classes, embed_dims)

    def forward(self, classifier: GenerativeClassifier, labels: Tensor) -> Tensor:
        """Prompts of classes (B, Q): (B, Q, D)."""
        return self.points(labels)
