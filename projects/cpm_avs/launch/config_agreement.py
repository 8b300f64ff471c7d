"""Settings of a config that are fine alone and fail together."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..config_files import ConfigError

_NEVER = -1  # or "all", of a hook that saves checkpoints
#: What mmengine wants as a whole or not at all.
_TOGETHER = {
    "train": ("train_dataloader", "train_cfg", "optim_wrapper"),
    "validate": ("val_dataloader", "val_cfg", "val_evaluator"),
    "test": ("test_dataloader", "test_cfg", "test_evaluator"),
}

#: What nothing stands in for, of parts that a config has.
_NEEDED = {
    "train_dataloader": ("dataset", "batch_size", "sampler"),
    "val_dataloader": ("dataset", "sampler"),
    "test_dataloader": ("dataset", "sampler"),
    "optim_wrapper": ("optimizer",),
    "val_evaluator": ("type",),
    "test_evaluator": ("type",),
}
_LENGTHS = {"IterBasedTrainLoop": "max_iters", "EpochBasedTrainLoop": "max_epochs"}


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


def check_whole(settings: Mapping[str, Any]) -> None:
    """Refuse parts of which ``_delete_=True`` left too little.

    mmengine would train on one sample at a time, on the same ones in each process, or say that a
    part of it is None.

    Args:
        settings: The whole config.

    Raises:
        ConfigError: With what to give.
    """
    needed = dict(_NEEDED)
    training = settings.get("train_cfg")
    if isinstance(training, dict) and (not training or training.get("type") in _LENGTHS):
        length = _LENGTHS.get(training.get("type", ""), "max_iters or max_epochs")
        needed["train_cfg"] = () if training.keys() & {*_LENGTHS.values()} else (length,)
    for where, keys in needed.items():
        part = settings.get(where)
        if not isinstance(part, dict) or "constructor" in part:  # which may want others
            continue
        given = {*part, *(("batch_size", "sampler") if part.get("batch_sampler") else ())}
        if missing := [key for key in keys if key not in given]:
            raise ConfigError(
                f"{where} has no {' and no '.join(missing)}; where _delete_=True takes away what "
                f"the base has, give it anew: {where}=dict({missing[0].split(' ')[0]}=...)"
            )


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
