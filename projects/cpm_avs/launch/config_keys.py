"""Keys of a config that nobody reads: refused, with the nearest that somebody does."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from ..config_files import ROOT, ConfigError, nearest

#: What mmengine's Runner looks up beside its arguments.
_LOOKED_UP = (
    "sync_bn", "find_unused_parameters", "model_wrapper_cfg", "activation_checkpointing",
    "efficient_conv_bn_eval", "compile",
)  # fmt: skip
#: Top-level keys that a run reads; others are variables for putting the files together.
READ = {*inspect.signature(Runner.__init__).parameters, *_LOOKED_UP} - {"self", "cfg"}
#: What the tools set from their own options, whatever the config has.
_OF_THE_TOOLS = {"launcher": "give --launcher", "resume": "give --resume to tools/train.py"}
#: Keys of MMSegmentation before 1.0, and what is read in their place.
_EARLIER = dict(
    data="train_dataloader, val_dataloader and test_dataloader",
    optimizer="optim_wrapper.optimizer",
    optimizer_config="optim_wrapper.clip_grad",
    lr_config="param_scheduler",
    runner="train_cfg",
    total_epochs="train_cfg.max_epochs",
    evaluation="train_cfg.val_interval, and default_hooks.checkpoint.save_best",
    checkpoint_config="default_hooks.checkpoint",
    log_config="default_hooks.logger",
    resume_from="the option --resume FILE",
    seed="randomness.seed",
    fp16="the option --amp",
)
#: Likeness from which on an unknown top-level key of a file is taken for a slip.
_A_SLIP = 0.85


def check_names(cfg: Config) -> None:
    """Refuse a top-level key of the files that looks like one that is read, or was once.

    Variables of one's own are welcome, and those that a file uses can be called as one likes.

    Raises:
        ConfigError: With the name that was meant.
    """
    for name in _EARLIER.keys() & cfg.keys():
        if cfg[name] is not None and not is_used(cfg.text, name) and not _is_part(cfg, name):
            raise ConfigError(
                f"{cfg.filename}: nothing reads {name!r}, which was MMSegmentation's before 1.0; "
                f"now it is {_EARLIER[name]}"
            )
    for name in set(cfg) - READ - {"custom_imports"}:
        near = nearest(name, READ, cutoff=_A_SLIP)
        if near and not is_used(cfg.text, name) and name not in _own_variables():
            raise ConfigError(f"{cfg.filename}: nothing reads {name!r}; did you mean {near[0]!r}?")


def _is_part(cfg: Config, name: str) -> bool:
    """Whether what is read has the value, too: so it is in what mmengine wrote of a config."""
    value = cfg[name]
    for path, found in walk({key: cfg[key] for key in cfg if key in READ}):
        if (isinstance(value, dict) or path[-1] == name) and _is_within(value, found):
            return True
    return False


def _is_within(value: Any, found: Any) -> bool:
    """Whether all of it is there, maybe among more, which a base has set."""
    if not isinstance(value, dict) or not isinstance(found, dict):
        return value == found
    return all(key in found and _is_within(one, found[key]) for key, one in value.items())


def _own_variables() -> set[str]:
    """What the project's own bases call their pieces, which a config need not use."""
    text = "\n".join(path.read_text() for path in (ROOT / "configs/_base_").rglob("*.py"))
    return set(re.findall(r"(?m)^(\w+)\s*=", text))


def check_options(cfg: Config, settings: dict[str, Any]) -> None:
    """Refuse options that would change nothing.

    Args:
        cfg: As the files have it.
        settings: Dotted key -> value, of ``--cfg-options``.

    Raises:
        ConfigError: Nothing reads the key: it is misspelt, or a variable that the files use while
            they are put together, which is over by now. The message has the keys to set.
    """
    read = READ - _OF_THE_TOOLS.keys()
    if "data_preprocessor" in (cfg.get("model") or {}):
        read.discard("data_preprocessor")
    for key in settings:
        name, *rest = key.split(".")
        if name in read or _is_for_code(cfg, name):
            continue
        found = list(dict.fromkeys(places(cfg, name, rest)))
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        instead = f"set {', '.join(found[:3])}{more}" if found else ""
        if name in _OF_THE_TOOLS:
            reason, instead = "the tool sets it", _OF_THE_TOOLS[name]
        elif name in cfg:
            reason = f"{name!r} is only used while the config's files are put together"
            instead = instead or f"write a config with {cfg.filename} as its _base_"
        else:
            near = nearest(name, read)
            reason = f"nothing reads {name!r}"
            if near:
                instead = f"did you mean {'.'.join([near[0], *rest])}?"
            instead = instead or f"the keys are {', '.join(sorted(read & set(cfg)))}"
        raise ConfigError(f"--cfg-options {key}: {reason}; {instead}")


def _is_for_code(cfg: Config, name: str) -> bool:
    """Whether the files set a key of their own and do not use it: then some code must read it."""
    return name in cfg and name not in (*READ, "custom_imports") and not is_used(cfg.text, name)


def is_used(text: str, name: str) -> bool:
    """Whether files mention a variable elsewhere than where it is set."""
    code = re.sub(r'#.*|"""[\s\S]*?"""', "", text)
    return re.search(rf"\b{re.escape(name)}\b(?!\s*=[^=])", code) is not None


def places(cfg: Config, name: str, rest: list[str]) -> Iterator[str]:
    """Keys that are read and have what a variable, or a part of it, was used for."""
    read = list(walk({key: cfg[key] for key in cfg if key in READ}))
    wanted, value = {name}, cfg.get(name)
    if name in cfg:  # such as `in_channels=_base_.audio_channels`
        wanted |= set(re.findall(rf"(\w+)\s*=\s*(?:_base_\.)?{re.escape(name)}\b", cfg.text))
    whole = [path for path, found in read if path[-1] in wanted and value in (None, found)]
    if whole or not rest:
        yield from (".".join([*path, *rest]) for path in whole)
        return
    for part in rest:  # such as `**_base_.train_loader`
        value = _item(value, part)
    last = next((part for part in reversed(rest) if not part.isdigit()), name)
    for path, found in read:
        if path[-1] == last and value in (None, found):
            yield ".".join(path)


def _item(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, (list, tuple)) and key.isdigit() and int(key) < len(value):
        return value[int(key)]
    return None


def walk(part: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All parts of a config, outer ones first, with their keys; places in lists are digits."""
    if isinstance(part, dict):
        items = [(str(key), value) for key, value in part.items()]
    elif isinstance(part, (list, tuple)):
        items = [(str(place), value) for place, value in enumerate(part)]
    else:
        return
    for key, value in items:
        yield (*path, key), value
        yield from walk(value, (*path, key))
