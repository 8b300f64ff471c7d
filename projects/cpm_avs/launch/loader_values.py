"""Settings of a config's data loaders that mmengine and torch take, and fail on later."""

import math
import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch

from ..config_files import ConfigError, nearest


def check_loader(where: str, loader: dict[str, Any]) -> None:
    """Refuse a value that a loader can't be built from or can't work with.

    Args:
        where: The loader's place in the config.
        loader: Its settings.

    Raises:
        ConfigError: With what to give.
    """
    for key, remedy_for in _REMEDIES.items():
        if key in loader and (remedy := remedy_for(loader[key])):
            raise ConfigError(f"{where}.{key} is {loader[key]!r}; {remedy}")


def _generator(value: Any) -> str:
    return "" if value is None else "leave it out: draws follow from randomness.seed"


def _device(value: Any) -> str:
    with suppress(RuntimeError, TypeError):
        if value == "" or torch.device(value).type != "meta":
            return ""
    return "leave it out, or give a device such as 'cuda'"


def _start_method(value: Any) -> str:
    known = multiprocessing.get_all_start_methods()
    if value is None or value in known:
        return ""
    near = nearest(value, known) if isinstance(value, str) else []
    return f"did you mean {near[0]!r}?" if near else f"give {', '.join(known)} or None"


def _function(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else value
    if callable(kind) or (isinstance(value, dict) and isinstance(kind, str)):
        return ""
    return "leave it out, or give dict(type=NAME) of a function that is registered in FUNCTIONS"


def _sampler(value: Any) -> str:
    return "" if value is None or isinstance(value, dict) else "give dict(type=NAME) of a sampler"


def _shuffle(value: Any) -> str:
    return "" if value is None else "leave it out: the sampler shuffles (sampler.shuffle)"


def _switch(value: Any) -> str:
    return "" if isinstance(value, bool) else "give True or False"


def _seconds(value: Any) -> str:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return "" if is_number and 0 <= value < math.inf else "give 0 or more seconds"


def _whole(value: Any) -> str:
    is_whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    return "" if value is None or is_whole else "give 1 or more, a whole number"


#: Setting -> what to give in place of a value; empty where the value will do.
_REMEDIES: dict[str, Callable[[Any], str]] = dict(
    sampler=_sampler,
    batch_sampler=_sampler,
    shuffle=_shuffle,
    collate_fn=_function,
    worker_init_fn=_function,
    multiprocessing_context=_start_method,
    generator=_generator,
    pin_memory_device=_device,
    timeout=_seconds,
    in_order=_switch,
    disable_subprocess_warning=_switch,
    num_batch_per_epoch=_whole,
)
