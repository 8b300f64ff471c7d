"""State that fits the mixtures: a bank of matched embeddings, and EM on it (Sec. 3.2.1)."""

import torch
from torch import Tensor, nn

from ...structures import GaussianState
from ..distributed import gather_variable
from .em import em_update
from .memory_bank import ClassMemoryBank


class MixtureFitting(nn.Module):
    """Collects matched embeddings of all ranks and moves a ``GMMClassifier``'s mixtures to them.

    Args:
        num_classes: C, classes with background; no-object has a mixture too.
        embed_dims: D.
        momentum: Share of a mixture that stays at each update at full pace.
        variance_floor: Smallest variance, in units of 1 / D, the variance that the mixtures
            start with.
        min_samples: Classes with fewer samples in the bank are left alone.
        bank_size: Embeddings a class.
        max_per_push: Embeddings of one class that an iteration adds.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        embed_dims: int,
        momentum: float = 0.99,
        variance_floor: float = 0.25,
        min_samples: int = 16,
        bank_size: int = 512,
        max_per_push: int = 32,
    ) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum is {momentum}; it must lie in [0, 1)")
        if variance_floor <= 0:
            raise ValueError(
                f"variance_floor is {variance_floor}; it must be positive, for a component that "
                "holds a single sample has no variance of its own"
            )
        self.momentum = momentum
        self.variance_floor = variance_floor / embed_dims
        self.min_samples = min_samples
        self.bank = ClassMemoryBank(
            num_classes=num_classes + 1,
            embed_dims=embed_dims,
            size=bank_size,
            max_per_push=max_per_push,
        )

    @torch.no_grad()
    def collect(self, points: Tensor, labels: Tensor) -> None:
        """Put the points (n, D) of classes (n,) of all ranks into the bank, in rank order."""
        self.bank.push(*gather_variable(points.float(), labels))

    @torch.no_grad()
    def update(self, state: GaussianState, *, pace: float = 1.0) -> GaussianState:
        """Mixtures after one step of EM on the bank; the same on every rank.

        Args:
            state: Mixtures before the step.
            pace: Share of a step at full pace to go, in [0, 1]; see ``learning_pace``.
        """
        return em_update(
            state,
            self.bank.samples,
            self.bank.valid,
            momentum=1 - pace * (1 - self.momentum),
            variance_floor=self.variance_floor,
            min_samples=self.min_samples,
        )
