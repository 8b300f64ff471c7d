"""Collectives that work with any number of ranks, one without a process group included."""

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, all_reduce, get_rank, get_world_size
from torch import Tensor


@torch.no_grad()
def _gather_parts(*tensors: Tensor) -> list[list[Tensor]]:
    """Each tensor's parts in rank order, cut to the ranks' own lengths."""
    own = len(tensors[0])
    lengths = torch.cat(all_gather(torch.tensor([own], device=tensors[0].device))).tolist()
    gathered = []
    for tensor in tensors:
        padding = [0, 0] * (tensor.dim() - 1) + [0, max(lengths) - own]
        padded = all_gather(F.pad(tensor.detach(), padding).contiguous())
        gathered.append([part[:n] for part, n in zip(padded, lengths, strict=True)])
    return gathered


def gather_variable(*tensors: Tensor) -> list[Tensor]:
    """Concatenate tensors of unequal length over the ranks; every rank gets the same result.

    Args:
        tensors: (n, ...) with one length n of each rank's own, 0 included; the rest of the shapes
            and the types agree over the ranks.

    Returns:
        list[Tensor]: For each (sum of n, ...) in rank order, without gradient.
    """
    if get_world_size() == 1:
        return [tensor.detach() for tensor in tensors]
    return [torch.cat(parts) for parts in _gather_parts(*tensors)]


def gather_beside(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Put what the other ranks have beside this rank's own, which keeps its gradient.

    Args:
        features: (n, D), with a length n of each rank's own.
        labels: (n,).

    Returns:
        tuple: Features (sum of n, D) and labels (sum of n,) in rank order.
    """
    if get_world_size() == 1:
        return features, labels
    feature_parts, label_parts = _gather_parts(features, labels)
    feature_parts[get_rank()] = features
    return torch.cat(feature_parts), torch.cat(label_parts)


@torch.no_grad()
def reduce_mean(value: Tensor) -> Tensor:
    """Mean over the ranks, for denominators that must not depend on the sharding."""
    mean = value.detach().clone()
    all_reduce(mean, op="mean")
    return mean
