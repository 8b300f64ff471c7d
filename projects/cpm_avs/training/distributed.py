"""Collectives that work with any number of ranks, one without a process group included."""

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, all_reduce, get_world_size
from torch import Tensor


@torch.no_grad()
def gather_variable(tensor: Tensor) -> Tensor:
    """Concatenate tensors of unequal length over the ranks; every rank gets the same result.

    Args:
        tensor: (n, ...) with a length n of each rank's own, 0 included; the rest of the shape and
            the type agree over the ranks.

    Returns:
        (sum of n, ...) in rank order, without gradient.
    """
    if get_world_size() == 1:
        return tensor.detach()
    length = torch.tensor([len(tensor)], device=tensor.device)
    lengths = [int(n) for n in all_gather(length)]
    padding = [0, 0] * (tensor.dim() - 1) + [0, max(lengths) - len(tensor)]
    padded = all_gather(F.pad(tensor.detach(), padding).contiguous())
    return torch.cat([part[:n] for part, n in zip(padded, lengths, strict=True)])


@torch.no_grad()
def reduce_mean_scalar(value: Tensor) -> Tensor:
    """Mean over the ranks of a scalar, for denominators that must not depend on the sharding."""
    mean = value.detach().clone()
    all_reduce(mean, op="mean")
    return mean
