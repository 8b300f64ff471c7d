"""A ring buffer of embeddings per class, to which the mixtures are fitted (Sec. 3.2.1)."""

import torch
from torch import Tensor, nn

_GOLDEN = 0.6180339887498949  # multiples of it, modulo 1, fill [0, 1) evenly


class ClassMemoryBank(nn.Module):
    """Keeps the newest embeddings of every class, in buffers that a checkpoint saves.

    Args:
        num_classes: K, with no-object.
        size: S, embeddings a class.
        embed_dims: D.
        max_per_push: Embeddings of one class that one push takes, evenly spaced over those given;
            no-object would otherwise overwrite its whole buffer in a few iterations. They come
            image by image, query by query, so the first one taken is another each time: the same
            few queries would stand for all of them.
    """

    samples: Tensor
    count: Tensor

    def __init__(self, *, num_classes: int, embed_dims: int, size: int, max_per_push: int) -> None:
        super().__init__()
        if not 0 < max_per_push <= size:
            raise ValueError(f"max_per_push is {max_per_push}; it must lie in 1 .. size ({size})")
        self.max_per_push = max_per_push
        self.register_buffer("samples", torch.zeros(num_classes, size, embed_dims))
        # Embeddings ever pushed: the next slot is its remainder by S, the fill its minimum with S.
        self.register_buffer("count", torch.zeros(num_classes, dtype=torch.long))

    @property
    def valid(self) -> Tensor:
        """Which slots are filled, (K, S) bool."""
        slots = torch.arange(self.samples.shape[1], device=self.count.device)
        return slots < self.count.unsqueeze(-1)

    @torch.no_grad()
    def push(self, embeddings: Tensor, labels: Tensor) -> None:
        """Write embeddings (n, D) of classes (n,) over the oldest ones of their class.

        Nothing is drawn at random, so that all ranks do the same.
        """
        order = labels.argsort(stable=True)
        embeddings, labels = embeddings[order], labels[order]
        totals = labels.bincount(minlength=len(self.count))
        starts = totals.cumsum(0) - totals
        ranks = torch.arange(len(labels), device=labels.device) - starts[labels]
        first = (self.count.double() * _GOLDEN % 1 * totals).long()
        ranks = (ranks + first[labels]) % totals[labels]

        taken = totals.clamp(max=self.max_per_push)
        # Of n embeddings t are taken: those at which floor(rank * t / n) takes a new value.
        slot = ranks * taken[labels] // totals[labels]
        keep = (ranks == 0) | (slot != (ranks - 1) * taken[labels] // totals[labels])
        labels, slot = labels[keep], slot[keep]

        position = (self.count[labels] + slot) % self.samples.shape[1]
        self.samples[labels, position] = embeddings[keep].to(self.samples.dtype)
        self.count += taken
