"""A hook that compares a run's model with its data before either is used."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop

from ..config_files import ConfigError
from ..errors import BadSampleError, UserError
from ..model_fit import (
    check_backbones,
    check_classes,
    check_order_of_classes,
    check_rates,
    check_sound,
)
from ..model_wrapper import bare_model


class ModelFitHook(Hook):
    """Refuses backbones, data and pipelines that the model can't take."""

    def before_run(self, runner: Runner) -> None:
        """The loops are built by now, and with them the data sets."""
        model = bare_model(runner)
        check_backbones(model)
        loops = dict(train=runner._train_loop, val=runner._val_loop, test=runner._test_loop)
        datasets = {
            f"{name}_dataloader.dataset": loop.dataloader.dataset
            for name, loop in loops.items()
            if isinstance(loop, BaseLoop)
        }
        check_order_of_classes(datasets)
        rates = {w: _of_sound(one, "sample_rate", "sample_rate") for w, one in datasets.items()}
        check_rates(rates)
        for where, dataset in datasets.items():
            check_classes(model, dataset, where)
            check_sound(model, _of_sound(dataset, "channels", "num_channels"), where)
            _check_first_item(dataset, where)


def _check_first_item(dataset: Any, where: str) -> None:
    """Of a data set that knows how, or of all that it wraps."""
    wrapped = getattr(dataset, "datasets", None) or [getattr(dataset, "dataset", None)]
    if hasattr(dataset, "check_first_item"):
        try:
            dataset.check_first_item()
        except BadSampleError:
            raise
        except UserError as error:
            raise ConfigError(f"{where}: {error}") from error
        return
    for part in (one for one in wrapped if one is not None):
        _check_first_item(part, where)


def _of_sound(dataset: Any, setting: str, own: str) -> int | None:
    """Of the transform that loads the sounds, or of a set that composes them, if it is known.

    Args:
        dataset: A set, or what wraps some, of which the first counts.
        setting: The transform's attribute.
        own: The set's.
    """
    for part in (*getattr(dataset, "datasets", ()), getattr(dataset, "dataset", None)):
        if part is not None:
            return _of_sound(part, setting, own)
    transforms = getattr(getattr(dataset, "pipeline", None), "transforms", ())
    loading = [getattr(one, setting, None) for one in transforms if hasattr(one, "num_samples")]
    return next(iter(loading), getattr(dataset, own, None))
