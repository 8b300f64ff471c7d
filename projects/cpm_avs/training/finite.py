"""Stop before a loss that is not a number reaches the parameters."""

from collections.abc import Mapping, Sequence

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from ..structures import UserError


class NonFiniteLossError(UserError, FloatingPointError):
    """A loss is NaN or infinite; nothing was updated with it."""


def check_finite(losses: Mapping[str, Tensor], data_samples: Sequence[BaseDataElement]) -> None:
    """Raise if a loss is NaN or infinite, naming the losses and the samples of the batch.

    Called at the end of the model's ``loss``, which is before the backward pass in every wrapper
    and precision: parameters, optimiser and the last checkpoint stay as they were. The other ranks
    wait for this one in the next collective, so that they don't step either, until the launcher
    ends them. Gradients that overflow under fp16 are the gradient scaler's business, not an error.

    Args:
        losses: Named losses of any shape.
        data_samples: The batch, with ``img_path``, ``clip_id`` and ``frame_index`` in its metainfo.
    """
    if not losses:
        return
    # One reduction a loss and one transfer in all: a NaN or inf anywhere makes the sum not finite.
    sums = torch.stack([loss.detach().double().sum() for loss in losses.values()])
    if bool(sums.isfinite().all()):
        return
    bad = ", ".join(
        f"{name} = {loss.detach().float().mean().item()}"
        for (name, loss), total in zip(losses.items(), sums, strict=True)
        if not total.isfinite()
    )
    samples = "\n".join(f"  {_describe(sample)}" for sample in data_samples)
    raise NonFiniteLossError(
        f"{bad}. Training stops before the parameters are touched; the last checkpoint is whole. "
        f"The samples of this batch:\n{samples}\n"
        "Look at these first; then lower the learning rate, clip gradients, or train without --amp."
    )


def _describe(sample: BaseDataElement) -> str:
    info = sample.metainfo
    return (
        f"{info.get('img_path')} (clip_id {info.get('clip_id')}, "
        f"frame_index {info.get('frame_index')})"
    )
