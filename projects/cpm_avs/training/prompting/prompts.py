"""Class-conditional prompts z^k: drawn from mixtures, or one learned point a class (Table 5)."""

import torch
from torch import Tensor, nn

from ...models.cpm.gaussian_functional import sample_mixture
from ..protocols import GenerativeClassifier


def pad_labels(sounding: Tensor) -> tuple[Tensor, Tensor]:
    """List the classes of each image, padded to the largest number of them (at least 1).

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
