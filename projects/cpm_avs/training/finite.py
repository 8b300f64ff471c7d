"""What becomes of a loss that is not a number: the run ends, or the gradient scaler skips it."""

from collections.abc import Mapping, Sequence

import torch
from mmengine.dist import all_gather_object, all_reduce
from mmengine.structures import BaseDataElement
from torch import Tensor

from ..errors import UserError

REMEDY = (
    "Look at these first; then lower the learning rate, clip gradients, or train without --amp."
)


class NonFiniteLossError(UserError, FloatingPointError):
    """A loss is NaN or infinite; nothing was updated with it."""


def describe_non_finite(
    losses: Mapping[str, Tensor], data_samples: Sequence[BaseDataElement]
) -> str:
    """The losses that are NaN or infinite and the samples of the batch; empty if there are none.

    Args:
        losses: Named losses of any shape.
        data_samples: The batch, with ``img_path``, ``clip_id`` and ``frame_index`` in its metainfo.
    """
    bad = ", ".join(
        f"{name} = {loss.detach().float().mean().item()}"
        for name, loss in losses.items()
        if not loss.isfinite().all()
    )
    return "\n".join([f"{bad} in the batch of", *map(_name, data_samples)]) if bad else ""


def _name(sample: BaseDataElement) -> str:
    info = sample.metainfo
    return (
        f"  {info.get('img_path')} (clip_id {info.get('clip_id')}, "
        f"frame_index {info.get('frame_index')})"
    )


class FiniteGuard:
    """Looks at the losses at the end of the model's ``loss``: before the backward pass.

    All ranks come to the same answer, since DDP adds their gradients up: one that is not a number
    spoils all.

    Attributes:
        skips: Whether a gradient scaler will skip a step that is not finite (``FiniteLossHook``
            knows). If not, the first one is an error.
        met: What the last step met, empty if all was finite.
    """

    def __init__(self) -> None:
        self.skips = False
        self.met = ""

    def check(self, losses: Mapping[str, Tensor], data_samples: Sequence[BaseDataElement]) -> bool:
        """Whether all losses of all ranks are finite; nothing may be learned from this step if not.

        Args:
            losses: See ``describe_non_finite``.
            data_samples: See ``describe_non_finite``.

        Raises:
            NonFiniteLossError: They are not, and no scaler will skip the step. Parameters,
                optimiser and the last checkpoint are as they were.
        """
        # A NaN or inf anywhere makes a sum not finite; one number goes to the host and the ranks.
        total = torch.cat([loss.detach().flatten() for loss in losses.values()]).double().sum()
        spoiled = (~total.isfinite()).float()
        all_reduce(spoiled, op="max")
        self.met = ""
        if spoiled > 0:
            ranks = all_gather_object(describe_non_finite(losses, data_samples))
            self.met = "\n".join(filter(None, ranks))
        if self.met and not self.skips:
            raise NonFiniteLossError(
                f"{self.met}\nTraining stops before the parameters are touched; the last "
                f"checkpoint is whole. {REMEDY}"
            )
        return not self.met
