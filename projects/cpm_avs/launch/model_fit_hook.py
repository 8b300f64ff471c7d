"""A hook that compares a run's model with its data before either is used."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop

from ..model_fit import check_backbones, check_classes, check_sound


class ModelFitHook(Hook):
    """Refuses backbones and data that the model can't take."""

    def before_run(self, runner: Runner) -> None:
        """The loops are built by now, and with them the data sets."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        check_backbones(model)
        loops = dict(train=runner._train_loop, val=runner._val_loop, test=runner._test_loop)
        for name, loop in loops.items():
            if isinstance(loop, BaseLoop):
                dataset, where = loop.dataloader.dataset, f"{name}_dataloader.dataset"
                check_classes(model, dataset, where)
                check_sound(model, _sound_channels(dataset), where)


def _sound_channels(dataset: Any) -> int | None:
    """Of a set that composes its sounds, or of the transform that loads them, if it is known."""
    for part in (*getattr(dataset, "datasets", ()), getattr(dataset, "dataset", None)):
        if part is not None:
            return _sound_channels(part)
    transforms = getattr(getattr(dataset, "pipeline", None), "transforms", ())
    loading = [one.channels for one in transforms if hasattr(one, "num_samples")]
    return next(iter(loading), getattr(dataset, "num_channels", None))
