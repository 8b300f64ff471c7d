"""Values of a config that a library takes as they are, and that fail late, or never.

A schedule of -1, a process group of no backend, a gradient that is clipped to less than nothing:
they are held against what they may be, by their place in the config.
"""

import logging
import multiprocessing
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from mmengine.registry import FUNCTIONS, MODELS, Registry
from mmengine.runner.priority import Priority
from mmseg import registry

from ..config_files import ConfigError, hint_of_unregistered, is_registered, nearest

_LOADER = r"(train|val|test)_dataloader"
_STEP = rf"{_LOADER}\..+\.(pipeline|transforms)\.\d+"
_HOOK = r"(default|custom)_hooks\.\w+"
#: Place -> the least that a number may be there.
_AT_LEAST = {
    r"train_cfg\.(max_iters|max_epochs|val_interval)": 1,
    r"train_cfg\.val_begin": 0,
    rf"{_STEP}\.(scales?|size|crop_size|base_size)(\.\d+)*": 1,
    rf"{_LOADER}\.(batch_size|prefetch_factor)": 1,
    rf"{_LOADER}\.(num_workers|timeout)": 0,
    r"optim_wrapper\.optimizer\.lr": 0,
    r"optim_wrapper\.accumulative_counts": 1,
    r"optim_wrapper\.clip_grad\.(max_norm|clip_value)": 0,
    r"param_scheduler(\.[a-z]+)?(\.\d+)?\.begin": 0,
    r"auto_scale_lr\.base_batch_size": 1,
    rf"{_HOOK}\.begin": 0,
    r"log_processor\.window_size": 1,
    r"env_cfg\.resource_limit": 1,
    r"model\.decode_head\.(num_queries|embed_dims|feedforward_channels)": 1,
    r"model\.criterion\.(\w+\.)?\w+_weight": 0,
    r"model\.data_preprocessor\.size_divisor": 1,
    r"optim_wrapper\.paramwise_cfg\.(.+\.)?\w+_mult": 0,
    rf"{_LOADER}\.num_batch_per_epoch": 1,
    rf"{_LOADER}\.dataset\.(.+\.)?max_refetch": 0,
}
#: Where a number must be more than 0.
_POSITIVE = (
    rf"{_STEP}\.(scale_factor|scale_range|ratio_range)(\.\d+)*|"
    r"param_scheduler(\.[a-z]+)?(\.\d+)?\.start_factor"
)
#: Places that may be left out of a config, but where None means nothing.
_NOT_NONE = (
    rf"{_LOADER}\.(batch_size|dataset)|optim_wrapper\.optimizer(\.lr)?|"
    r"train_cfg\.max_(iters|epochs)|randomness"
)
_NEVER = -1  # or "all", of a hook that saves checkpoints
_BACKENDS = {*torch.distributed.Backend.backend_list, "cncl", "hccl", "mccl", "smddp"}
#: Labels, of which a mask has 8 bits.
_LABELS = rf"model\.data_preprocessor\.seg_pad_val|{_STEP}\.(seg_pad_val|pad_val\.seg)"
_LARGEST_LABEL = 255
#: What mmengine takes for true unless it is empty.
_SWITCHES = (
    rf"find_unused_parameters|{_LOADER}\.(persistent_workers|pin_memory|drop_last)|"
    r"randomness\.(deterministic|diff_rank_seed)|env_cfg\.cudnn_benchmark|(val|test)_cfg\.fp16"
)
_TEXTS = r"load_from|work_dir|experiment_name"
#: Place -> what may stand there.
_ONE_OF: dict[str, tuple] = {
    r"env_cfg\.mp_cfg\.mp_start_method": (*multiprocessing.get_all_start_methods(), None),
    r"env_cfg\.dist_cfg\.backend": tuple(sorted(_BACKENDS - {"undefined", "fake"})),
    r"(val|test)_evaluator(\.\d+)?\.collect_device": ("cpu", "gpu", "npu"),
    r"optim_wrapper\.clip_grad\.type": ("norm", "value"),
    r"sync_bn": ("torch", "mmcv", None),
}
#: Place -> where the name that stands there must be registered.
_NAMES: dict[str, Registry] = {
    r"model\.(.*\.)?(norm|act|conv)_cfg\.type": registry.MODELS,  # mmcv says it can't find None
    rf"{_LOADER}\.(collate_fn|worker_init_fn)\.type": FUNCTIONS,
    r"optim_wrapper\.constructor": registry.OPTIM_WRAPPER_CONSTRUCTORS,
    r"optim_wrapper\.optimizer\.type": registry.OPTIMIZERS,
}
#: What mmengine wants as a whole or not at all.
_TOGETHER = {
    "train": ("train_dataloader", "train_cfg", "optim_wrapper"),
    "validate": ("val_dataloader", "val_cfg", "val_evaluator"),
    "test": ("test_dataloader", "test_cfg", "test_evaluator"),
}
_LARGEST_SEED = 2**32 - 1


def check_value(where: str, value: Any) -> None:
    """Refuse a value that can't work at its place.

    Args:
        where: Its place in the config, a dotted key.
        value: What stands there.

    Raises:
        ConfigError: With what may stand there.
    """
    if value is None and re.fullmatch(_NOT_NONE, where):
        raise ConfigError(f"{where} is None, and nothing stands in for it; leave this setting out")
    for pattern, least in _AT_LEAST.items():
        if isinstance(value, (int, float)) and re.fullmatch(pattern, where) and not value >= least:
            raise ConfigError(f"{where} is {value}; give {least} or more")  # nor is it NaN
    _check_kind(where, value)
    for pattern, choices in _ONE_OF.items():
        if re.fullmatch(pattern, where) and value not in choices:
            known = ", ".join(map(str, choices))
            raise ConfigError(f"{where} is {value!r}; {_meant(value, choices) or f'give {known}'}")
    for pattern, known_by in _NAMES.items():
        named = isinstance(value, str) and re.fullmatch(pattern, where)
        if named and not is_registered(value, known_by):
            hint = hint_of_unregistered(value, known_by)
            raise ConfigError(f"{where} is {value!r}, which is not registered; {hint}")
    if re.fullmatch(rf"{_HOOK}\.priority", where):
        _check_priority(where, value)
    if isinstance(value, (int, float)) and re.fullmatch(_POSITIVE, where) and not value > 0:
        raise ConfigError(f"{where} is {value}; give more than 0")


def _check_kind(where: str, value: Any) -> None:
    """Labels, switches, texts and samplers."""
    if re.fullmatch(_LABELS, where) and not (
        isinstance(value, int) and 0 <= value <= _LARGEST_LABEL
    ):
        raise ConfigError(
            f"{where} is {value!r}; give a whole number from 0 to {_LARGEST_LABEL}, such as 255, "
            "which losses and scores leave out"
        )
    if re.fullmatch(_SWITCHES, where) and not isinstance(value, bool):
        raise ConfigError(f"{where} is {value!r}; give True or False")
    if (
        re.fullmatch(_TEXTS, where)
        and value is not None
        and (not isinstance(value, str) or not value)
    ):
        raise ConfigError(f"{where} is {value!r}; give a text, or None")
    if re.fullmatch(rf"{_LOADER}\.sampler", where) and value is None:
        training = where.startswith("train")
        meant = "type='InfiniteDrawSampler'" if training else "type='DefaultSampler', shuffle=False"
        raise ConfigError(
            f"{where} is None: every process would read all of the data, in their order; give "
            f"dict({meant})"
        )


def check_hook(where: str, hook: dict[str, Any]) -> None:
    """Refuse settings with which a hook is never called, or saves one checkpoint over the other.

    Args:
        where: The hook's place in the config.
        hook: Its settings.

    Raises:
        ConfigError: With what to give.
    """
    saves = "Checkpoint" in str(hook.get("type"))
    for key, meaning in (("interval", "never"), ("max_keep_ckpts", "all")):
        value = hook.get(key)
        if isinstance(value, (int, float)) and not value >= 1 and not (saves and value == _NEVER):
            other = f", or {_NEVER} for {meaning}" if saves else ""
            raise ConfigError(f"{where}.{key} is {value}; give 1 or more{other}")
    name = hook.get("filename_tmpl")
    numbered: set[str] = set()
    with suppress(LookupError, ValueError, AttributeError):
        numbered = {name.format(number) for number in (1, 2)}  # type: ignore[union-attr]
    if name is not None and len(numbered) < 2:
        raise ConfigError(
            f"{where}.filename_tmpl is {name!r}, a name that all checkpoints would share; give one "
            "with {} for their number, as iter_{}.pth"
        )


def check_whole(settings: dict[str, Any]) -> None:
    """Refuse a seed, a log level, a scope or a list of hooks that mmengine can't take.

    Args:
        settings: The whole config.

    Raises:
        ConfigError: With what to give.
    """
    if isinstance(settings.get("custom_hooks"), dict):
        raise ConfigError("custom_hooks has settings by name; give a list of hooks, each a dict")
    seed = (settings.get("randomness") or {}).get("seed")
    if seed is not None and (not isinstance(seed, int) or not 0 <= seed <= _LARGEST_SEED):
        raise ConfigError(
            f"randomness.seed is {seed!r}; give a whole number from 0 to {_LARGEST_SEED}, or None"
        )
    level = settings.get("log_level", "INFO")
    if not isinstance(logging.getLevelName(level), int) and not isinstance(level, int):
        raise ConfigError(f"log_level is {level!r}; give DEBUG, INFO, WARNING or ERROR")
    scope = settings.get("default_scope", "mmseg")
    if scope not in (known := ("mmengine", *MODELS.children)):
        raise ConfigError(f"default_scope is {scope!r}; it is one of {', '.join(known)}")


def check_counting(settings: Mapping[str, Any]) -> None:
    """Refuse a training that counts in epochs what it does in iterations, or the other way round.

    mmengine would train one epoch without end, or never save, validate or lower the rate.

    Args:
        settings: The whole config.

    Raises:
        ConfigError: With what to set.
    """
    training = settings.get("train_cfg") or {}
    loop = _type_of(training)
    last = training.get("max_iters", training.get("max_epochs"))
    if last is not None and training.get("val_begin", 1) > last:
        raise ConfigError(
            f"train_cfg.val_begin is {training['val_begin']}, and training ends at {last}: it "
            "would never be validated; give a smaller one, or val_dataloader=None, val_cfg=None "
            "and val_evaluator=None for none"
        )
    sampler = _type_of((settings.get("train_dataloader") or {}).get("sampler"))
    if loop == "EpochBasedTrainLoop" and "Infinite" in sampler:
        raise ConfigError(
            f"train_dataloader.sampler is an {sampler}, whose epoch has no end, and train_cfg an "
            f"{loop}; give EpochDrawSampler (DefaultSampler), or an IterBasedTrainLoop"
        )
    if loop != "IterBasedTrainLoop":
        return
    counting = {"default_hooks.checkpoint": (settings.get("default_hooks") or {}).get("checkpoint")}
    counting |= _schedulers(settings.get("param_scheduler") or [], "param_scheduler")
    for where, part in counting.items():
        if isinstance(part, dict) and part.get("by_epoch", True):
            raise ConfigError(
                f"{where} counts in epochs (by_epoch), of which an {loop} has none; give "
                f"{where}.by_epoch=False, and intervals and ends in iterations"
            )


def _schedulers(part: Any, where: str) -> dict[str, Any]:
    """Schedulers with their places: one, a list, or a list for each of several optimisers."""
    if isinstance(part, (list, tuple)):
        return {f"{where}.{number}": one for number, one in enumerate(part)}
    if isinstance(part, dict) and "type" not in part:
        found = (_schedulers(one, f"{where}.{name}") for name, one in part.items())
        return {place: one for own in found for place, one in own.items()}
    return {f"{where}.0": part}


def _type_of(part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    return kind if isinstance(kind, str) else getattr(kind, "__name__", "")


def check_together(settings: Mapping[str, Any]) -> None:
    """Refuse a run of which mmengine would have a part alone.

    Args:
        settings: The whole config.

    Raises:
        ConfigError: With the keys that are there, and those that are missing.
    """
    for name, keys in _TOGETHER.items():
        given = [key for key in keys if settings.get(key) is not None]
        if given and len(given) < len(keys):
            missing = ", ".join(key for key in keys if key not in given)
            raise ConfigError(
                f"{', '.join(given)}: given without {missing}; to {name}, a run needs all of them"
            )


def _check_priority(where: str, value: Any) -> None:
    names = [one.name for one in Priority]
    if value is None or isinstance(value, Priority):
        return
    if isinstance(value, str):
        known = value.upper() in names
    else:
        known = isinstance(value, int) and 0 <= value <= 100
    if not known:
        hint = _meant(value, names) or f"give one of {', '.join(names)}, or 0 to 100"
        raise ConfigError(f"{where} is {value!r}; {hint}")


def _meant(value: Any, known: Any) -> str:
    if not isinstance(value, str):
        return ""
    near = nearest(value, [one for one in known if isinstance(one, str)])
    return f"did you mean {near[0]!r}?" if near else ""
