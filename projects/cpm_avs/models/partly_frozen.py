"""Backbones of which a part stays as pretraining left it."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar

from mmengine.model import BaseModule
from torch import nn

Backbone = TypeVar("Backbone", bound="PartlyFrozen")


class PartlyFrozen(BaseModule):
    """A backbone that may keep parameters and batch statistics, as mmseg's ``ResNet`` may.

    Its constructor ends with ``freeze``.

    Attributes:
        norm_eval: Whether all batch statistics stay as they are in training.
    """

    norm_eval: bool = False

    @property
    @abstractmethod
    def frozen(self) -> Sequence[nn.Module]:
        """What gets no gradient and keeps its batch statistics."""

    def freeze(self) -> None:
        """Take what is frozen out of training."""
        for module in self.frozen:
            module.requires_grad_(False)

    def train(self: Backbone, mode: bool = True) -> Backbone:
        """Training mode, except for the statistics that are to stay."""
        super().train(mode)
        for module in self.children() if self.norm_eval else self.frozen:
            module.eval()  # there are statistics in it, and nothing else that training changes
        return self
