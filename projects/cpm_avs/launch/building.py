"""What goes wrong while a run is built from its config, told by the part of the config."""

import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import Registry, init_default_scope
from mmengine.runner import BaseLoop, Runner
from mmseg.registry import DATASETS
from torch import OutOfMemoryError

from ..config_files import ConfigError, hint_of_unregistered, nearest
from ..errors import UserError
from ..model_fit import check_classes
from ..safe_checkpoint import CheckpointError
from .arguments import parameters
from .config_keys import READ, walk
from .errors import raised_by_the_project

#: What mmengine says of a name that is in no registry, beside the name of the registry.
_NOT_FOUND = "None is not a callable|Failed to get"
_OTHER_NOT_FOUND = re.compile(r"(\S+) is not in the .* registry$")
_BUILDERS = ("mmengine.registry", "mmengine.runner", "mmengine.optim")
#: Names by which mmengine has the settings of what it builds.
_HANDED = ("cfg", "dataloader", "loop", "evaluator", "optimizer_cfg")
#: What has no type, by the function of mmengine that reads it.
_BY_FUNCTION = {
    "turn_on_activation_checkpointing": "activation_checkpointing",
    "turn_on_efficient_conv_bn_eval": "efficient_conv_bn_eval",
    "_maybe_compile": "compile",
    "wrap_model": "model_wrapper_cfg",
}
_UNEXPECTED = re.compile(r"(\S+)\(\) got an unexpected keyword argument '([^']*)'")


@contextmanager
def built_from(cfg: Config) -> Iterator[None]:
    """Turn what a library raises while it is given a config's settings into a sentence on them.

    Errors of the project's own, of files, and of a loop that runs are left as they are. The
    traceback is in the log of a run with ``log_level='DEBUG'``.

    Raises:
        ConfigError: The part of the config, what was given, and what is wrong with it.
        CheckpointError: A checkpoint could not be taken up.
    """
    try:
        yield
    except (UserError, OSError, OutOfMemoryError):
        raise
    except Exception as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        if raised_by_the_project(error) or not _is_building(frames):
            raise
        print_log("".join(traceback.format_exception(error)), "current", logging.DEBUG)
        if any(frame.f_code is Runner.load_or_resume.__code__ for frame in frames):
            source = cfg.get("load_from") or f"the latest checkpoint in {cfg.work_dir}"
            raise CheckpointError(
                f"{source}: it can't be taken up ({_told(error)}). Give a checkpoint that "
                "tools/train.py wrote"
            ) from error
        raise ConfigError(_problem(cfg, error, frames)) from error


def build_dataset(cfg: Config, loader: str) -> Any:
    """The data set of one of a config's loaders, as ``train_dataloader``, for tools without runner.

    Raises:
        ConfigError: There is no such loader, it can't be built, or the model's head has another
            number of classes.
    """
    init_default_scope(cfg.get("default_scope", "mmseg"))
    settings = (cfg.get(loader) or {}).get("dataset")
    if settings is None:
        raise ConfigError(f"{cfg.filename}: it has no {loader}; give the config of a training")
    with built_from(cfg):
        dataset = DATASETS.build(settings)
    check_classes(cfg.model, dataset, f"{loader}.dataset")
    return dataset


def _is_building(frames: list[FrameType]) -> bool:
    """Whether mmengine was called to build or start something, and no loop ran yet."""
    running = any(
        frame.f_code.co_name == "run" and isinstance(frame.f_locals.get("self"), BaseLoop)
        for frame in frames
    )
    return not running and any(
        frame.f_globals["__name__"].startswith(_BUILDERS) for frame in frames
    )


def _problem(cfg: Config, error: Exception, frames: list[FrameType]) -> str:
    """A sentence: where in the config, what was given, what is wrong."""
    told = _told(error)
    unexpected = _UNEXPECTED.search(told)
    if unexpected:
        return _unexpected(cfg, unexpected[1], unexpected[2], frames[-1])
    where, part = _part(cfg, frames)
    kind = part.get("type")
    if isinstance(kind, str) and re.search(rf"\b{re.escape(kind)}\b.* registry|{_NOT_FOUND}", told):
        hint = hint_of_unregistered(kind, _asked(frames))
        return f"{where}.type is {kind!r}, which is not registered; {hint}"
    other = _OTHER_NOT_FOUND.match(told)
    if other:
        told += f"; {hint_of_unregistered(other[1], _asked(frames))}"
    given = ", ".join(f"{key}={value!r}" for key, value in part.items() if _is_plain(key, value))
    return f"{where} can't be built{' from ' * bool(given)}{given}: {told}"


def _asked(frames: list[FrameType]) -> Registry:
    """The registry that did not know a name."""
    asked = [one for frame in frames for one in frame.f_locals.values()]
    return [one for one in asked if isinstance(one, Registry)][-1]


def _told(error: Exception) -> str:
    """The error's own words, in one line, with its kind where they are no sentence."""
    words = " ".join(str(error.args[0] if error.args else "").split())
    if isinstance(error, (KeyError, IndexError, AttributeError)) and " " not in words:
        words = f"{words!r} is missing" if words else ""
    return words.split(". Please check whether")[0] or _where_raised(error)


def _where_raised(error: Exception) -> str:
    """For an error without words: its kind, and the function that raised it."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    owner = frame.f_locals.get("self")
    name = f"{type(owner).__name__}." * (owner is not None) + frame.f_code.co_name
    return f"{type(error).__name__} in {name}"


def _unexpected(cfg: Config, name: str, key: str, caller: FrameType) -> str:
    """Where the key stands, and the nearest that is taken."""
    places = [".".join(path) for path, _ in walk(cfg._cfg_dict.to_dict()) if path[-1] == key]
    known = _parameters_of(name, caller)
    near = nearest(key, known, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}"
    where = " or ".join(places) or key
    return f"{where}: {name.removesuffix('.__init__')} takes no {key!r}; {hint}"


def _parameters_of(name: str, caller: FrameType) -> list[str]:
    """Of what was called by this name, which the caller has at hand, or as one of its parents."""
    name = name.removesuffix(".__init__")
    for value in (*caller.f_locals.values(), *caller.f_globals.values()):
        for one in (value, *getattr(type(value), "__mro__", ()), *getattr(value, "__mro__", ())):
            if getattr(one, "__qualname__", None) == name:
                return [key for key in parameters(one)[0] if key != "self"]
    return []


def _part(cfg: Config, frames: list[FrameType]) -> tuple[str, dict[str, Any]]:
    """The innermost part of the config that was being built, with its place."""
    read = {key: value for key, value in cfg._cfg_dict.to_dict().items() if key in READ}
    parts = [(".".join(path), part) for path, part in walk(read) if isinstance(part, dict)]
    for frame in reversed(frames):
        if isinstance(frame.f_locals.get("self"), BaseLoop):
            continue  # it has its loader at hand, and is built from other settings
        handed = [frame.f_locals.get(name) for name in _HANDED]
        for settings in (one for one in handed if isinstance(one, dict) and one):
            alike = [(_likeness(settings, part), where, part) for where, part in parts]
            most, where, part = max(alike, key=lambda found: found[0])
            if most:
                return where, part
    by_function = [_BY_FUNCTION.get(frame.f_code.co_name) for frame in reversed(frames)]
    if any(by_function):
        return next(where for where in by_function if where), {}
    for frame in reversed(frames):
        kind = type(frame.f_locals.get("self")).__name__
        named = [(where, part) for where, part in parts if part.get("type") == kind]
        if len(named) == 1:
            return named[0]
    return str(cfg.filename), {}


def _likeness(settings: dict[str, Any], part: dict[str, Any]) -> int:
    """Settings in common; 0 for those of another type. Some are added or built on the way."""
    if settings.get("type") != part.get("type"):
        return 0
    return sum(repr(value) == repr(settings.get(key, part)) for key, value in part.items())


def _is_plain(key: str, value: Any) -> bool:
    if isinstance(value, (list, tuple)):  # a pipeline tells nothing, at length
        return not any(isinstance(one, dict) for one in value)
    return key != "type" and isinstance(value, (str, int, float, type(None)))
