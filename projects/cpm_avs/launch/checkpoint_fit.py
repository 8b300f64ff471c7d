"""A hook that refuses a checkpoint which the model can't take."""

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from ..model_wrapper import bare_model
from ..safe_checkpoint import (
    check_fit,
    check_number_of_classes,
    class_names_of,
    weights_of,
)


class CheckpointFitHook(Hook):
    """Refuses a checkpoint of another model before mmengine loads the part that fits.

    Args:
        source: What the message names.
        ignored_prefix: Keys that the model need not have, and that are taken out of the checkpoint.
    """

    def __init__(self, *, source: str, ignored_prefix: str | None = None) -> None:
        self.source = source
        self.ignored_prefix = ignored_prefix

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare names and shapes."""
        model = bare_model(runner)
        names = class_names_of(checkpoint, self.source)
        check_number_of_classes(names, model, self.source)
        given = weights_of(checkpoint, self.source)
        if self.ignored_prefix is not None:
            given = {k: v for k, v in given.items() if not k.startswith(self.ignored_prefix)}
        check_fit(model, given, self.source)
        self._tell_other_names(runner, names)
        weights = checkpoint.get("state_dict", checkpoint)
        weights.clear()
        weights.update(given)

    def _tell_other_names(self, runner: Runner, names: Sequence[str]) -> None:
        """Classes count by their numbers: other names may be right, another order is not."""
        for split in ("train", "test"):
            loop = getattr(runner, f"_{split}_loop", None)
            dataset = loop.dataloader.dataset if isinstance(loop, BaseLoop) else None
            wanted = (getattr(dataset, "metainfo", None) or {}).get("classes", ())
            for number, (own, other) in enumerate(zip(names, wanted, strict=False)):
                if own != other:
                    runner.logger.warning(
                        f"{self.source}: its class {number} is {own!r}, and that of "
                        f"{split}_dataloader.dataset {other!r}: numbers count, not names"
                    )
                    break
