"""Lets a part of the model learn only after the first epochs."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ...model_wrapper import bare_model


@HOOKS.register_module()
class FreezeHook(Hook):
    """Keeps the parameters of a part as they are; its norms go on counting their statistics.

    What has no gradient by itself never gets one. Training on several GPUs needs the config's
    ``find_unused_parameters = True``.

    Args:
        part: Name of a module of the model, such as 'backbone'.
        epochs: So many from the first; 0 freezes nothing.
    """

    def __init__(self, *, part: str, epochs: int) -> None:
        if epochs < 0:
            raise ValueError(f"epochs is {epochs}; give 0 or more")
        self.part, self.epochs = part, epochs
        self._learning: list[Any] = []

    def before_train(self, runner: Runner) -> None:
        """Note which parameters learn by themselves."""
        model = bare_model(runner)
        if self.part not in dict(model.named_modules()):
            parts = ", ".join(name for name, _ in model.named_children())
            raise ValueError(f"FreezeHook(part={self.part!r}): the model has {parts}")
        parameters = model.get_submodule(self.part).parameters()
        self._learning = [one for one in parameters if one.requires_grad]

    def before_train_epoch(self, runner: Runner) -> None:
        """Freeze, or let go; a run that is resumed comes through here, too."""
        for parameter in self._learning:
            parameter.requires_grad_(runner.epoch >= self.epochs)
