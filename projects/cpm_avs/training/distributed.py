"""Collectives that work with any number of ranks, one without a process group included."""

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, all_reduce, get_rank, get_world_size
from torch import Tensor


class _Gather(torch.autograd.Function):
    """Stack the ranks' tensors of one shape; the gradient is that of the sum of their losses."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        return torch.stack(all_gather(own.contiguous()))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        all_reduce(total)
        return total[get_rank()]


def gather_variable(*tensors: Tensor) -> list[Tensor]:
    """Concatenate tensors of unequal length over the ranks; every rank gets the same result.

    Where a tensor has a gradient, all ranks must go backwards through the result: each one's part
    gets the sum of what the losses of all ranks say of it, so that the gradients that DDP averages
    are those of one process with the whole batch.

    Args:
        tensors: (n, ...) with one length n of each rank's own, 0 included; the rest of the shapes
            and the types agree over the ranks.

    Returns:
        list[Tensor]: For each (sum of n, ...) in rank order.
    """
    if get_world_size() == 1:
        return list(tensors)
    own = len(tensors[0])
    lengths = torch.cat(all_gather(torch.tensor([own], device=tensors[0].device))).tolist()
    gathered = []
    for tensor in tensors:
        padding = [0, 0] * (tensor.dim() - 1) + [0, max(lengths) - own]
        padded = _Gather.apply(F.pad(tensor, padding))
        parts = [part[:n] for part, n in zip(padded, lengths, strict=True)]
        gathered.append(torch.cat(parts))
    return gathered


@torch.no_grad()
def reduce_mean(value: Tensor) -> Tensor:
    """Mean over the ranks, for denominators that must not depend on the sharding."""
    mean = value.detach().clone()
    all_reduce(mean, op="mean")
    return mean
