"""A runner's model without what DistributedDataParallel or its like wraps around it."""

from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner


def bare_model(runner: Runner) -> Any:
    """The model itself, whatever it runs in."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
