"""What a class or function takes, held against what a config gives it."""

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from numbers import Real
from pathlib import Path
from typing import Any

from torch import Tensor

from ..config_files import ConfigError, nearest

_PACKAGE = __name__.removesuffix("launch.arguments")
_NUMBERS = {int, float}
_TEXTS = {str, Path}
#: Types that a text can't stand for.
_NO_TEXT = {*_NUMBERS, bool, type(None), Tensor}
_SIMPLE = {"int": int, "float": float, "bool": bool, "int | None": int, "float | None": float}
#: Likeness from which on a key is taken for a slip where any key is allowed.
_A_SLIP = 0.85


def parameters(target: Callable) -> tuple[dict[str, inspect.Parameter], bool]:
    """Named parameters, those of the parents that get the rest included.

    Returns:
        The parameters, and whether they are all: what a class of somebody else's does with
        ``**kwargs`` before it hands them on can't be known. The project's own hand them on whole.
    """
    inits = [target]
    if inspect.isclass(target):
        inits = [vars(one)["__init__"] for one in target.__mro__[:-1] if "__init__" in vars(one)]
    found: dict[str, inspect.Parameter] = {}
    whole = True
    for init in inits:
        signature = inspect.signature(init).parameters
        named = {
            n: p for n, p in signature.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        }
        found = {**named, **found}
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in signature.values()):
            return found, whole
        whole = whole and str(getattr(init, "__module__", "")).startswith(_PACKAGE)
    return found, not inits


def check_arguments(
    where: str, given: Mapping[str, Any], target: Callable, *, beside: Iterable[str] = ()
) -> None:
    """Refuse keys that a target does not take, and values of another kind than it says.

    Args:
        where: The part of the config, for the message.
        given: Its settings.
        target: What is called with them.
        beside: Keys that are read before the call.

    Raises:
        ConfigError: With the nearest parameter, or what the parameter is.
    """
    known, all_known = parameters(target)
    known = {name: one for name, one in known.items() if name != "self"}
    kinds = _kinds(target)
    given = {key: value for key, value in given.items() if key not in beside}
    foreign = sum(key not in known for key in given) > 1
    for key, value in given.items():
        if key in known:
            suited = kinds.get(key) or _kinds_of_default(known[key].default)
            _check_value(f"{where}.{key}", value, suited, target.__name__)
        else:
            name = target.__name__
            _check_key(where, key, known, name, any_other=not all_known, foreign=foreign)


def check_items(
    where: str, given: Mapping[str, Any], known: Mapping[str, type], *, any_other: bool = False
) -> None:
    """As ``check_arguments``, of keys that are looked up one by one.

    Args:
        where: The part of the config, for the message.
        given: Its settings.
        known: Type by key.
        any_other: Whether other keys are fine that are no slip of a known one.
    """
    for key, value in given.items():
        if key in known:
            _check_value(f"{where}.{key}", value, {known[key]}, "mmengine")
        else:
            _check_key(where, key, known, "mmengine", any_other=any_other)


def _check_key(
    where: str,
    key: str,
    known: Iterable[str],
    reader: str,
    *,
    any_other: bool,
    foreign: bool = False,
) -> None:
    """Where several are unknown (``foreign``), they were set for another class."""
    known = [name for name in known if not name.startswith("_")]
    near = nearest(key, known, cutoff=_A_SLIP if any_other else 0.6)
    if near or not any_other:
        hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}"
        if foreign or not near:
            hint += "; what a base sets for another class goes by _delete_=True"
        raise ConfigError(f"{where}.{key}: {reader} takes no {key!r}; {hint}")


def _check_value(where: str, value: Any, kinds: set[Any], reader: str) -> None:
    """A value of another kind than is wanted: a number, a whole number, True or False, a text."""
    if kinds & _TEXTS and kinds <= {*_TEXTS, type(None)} and isinstance(value, (int, float)):
        raise ConfigError(f"{where} is {value!r}; {reader} takes a text")
    whole = not kinds & {float, bool, Tensor, type(None)}
    fraction = whole and isinstance(value, float) and not value.is_integer()
    switch = isinstance(value, bool) and bool not in kinds  # of which Python makes 0 or 1
    if kinds <= _NO_TEXT and (fraction or switch or isinstance(value, str)):
        wanted = "True or False" if bool in kinds else "a whole number" if whole else "a number"
        raise ConfigError(f"{where} is {value!r}; {reader} takes {wanted}")


@cache  # many parts of a config, and many configs, name the same class
def _kinds(target: Callable) -> Mapping[str, set[Any]]:
    """Types by parameter; parameters of other types than the simple ones are left out."""
    owners = target.__mro__[:-1] if inspect.isclass(target) else (target,)
    found: dict[str, set[Any]] = {}
    for owner in reversed(owners):
        init = vars(owner).get("__init__") if inspect.isclass(owner) else owner
        try:
            hints = typing.get_type_hints(init) if init else {}
        except (NameError, TypeError, AttributeError):  # names that only a type checker imports
            hints = {name: _SIMPLE.get(hint, Any) for name, hint in init.__annotations__.items()}
        found |= {name: _members(hint) for name, hint in hints.items()}
    return found


def _members(hint: Any) -> set[Any]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return {kind for one in typing.get_args(hint) for kind in _members(one)}
    return {hint}


def _kinds_of_default(default: Any) -> set[Any]:
    if isinstance(default, bool):
        return {bool}
    return _NUMBERS if isinstance(default, Real) else {Any}
