"""The model's number of classes held against the data's, which nothing else compares."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop

from ..config_files import ConfigError


def check_classes(model: Any, dataset: Any, where: str) -> None:
    """Refuse data with another number of classes than the head has.

    Args:
        model: The segmentor; one without ``decode_head.num_classes`` is left alone.
        dataset: A built data set; one that does not name its classes is left alone.
        where: The data set's place in the config.

    Raises:
        ConfigError: With both numbers.
    """
    expected = getattr(getattr(model, "decode_head", None), "num_classes", None)
    classes = (getattr(dataset, "metainfo", None) or {}).get("classes")
    if expected is not None and classes is not None and len(classes) != expected:
        raise ConfigError(
            f"model.decode_head.num_classes is {expected}, and {where} has {len(classes)} classes "
            f"with background ({', '.join(map(str, classes[:4]))}, ...); give both the same number"
        )


class ClassesFitHook(Hook):
    """Compares the model with all data of a run before it begins."""

    def before_run(self, runner: Runner) -> None:
        """The loops are built by now, and with them the data sets."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        loops = dict(train=runner._train_loop, val=runner._val_loop, test=runner._test_loop)
        for name, loop in loops.items():
            if isinstance(loop, BaseLoop):
                check_classes(model, loop.dataloader.dataset, f"{name}_dataloader.dataset")
