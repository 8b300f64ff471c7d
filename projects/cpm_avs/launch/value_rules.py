"""Rules for the value of a setting.

A rule takes the value and gives how the sentence "KEY is VALUE" goes on where it will not do, and
an empty text where it will.
"""

import logging
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from mmengine.registry import MODELS, Registry
from mmengine.runner.priority import Priority

from ..config_files import hint_of_unregistered, is_registered, nearest

Rule = Callable[[Any], str]

_LARGEST_LABEL = 255  # a mask has 8 bits
_LARGEST_SEED = 2**32 - 1


def at_least(least: int) -> Rule:
    """A number that is not below; what is no number is the part's own affair."""

    def rule(value: Any) -> str:
        wrong = isinstance(value, (int, float)) and not value >= least  # nor is it NaN
        return f"; give {least} or more" if wrong else ""

    return rule


def above_zero(value: Any) -> str:
    """A number above 0."""
    wrong = isinstance(value, (int, float)) and not value > 0
    return "; give more than 0" if wrong else ""


def clipping(value: Any) -> str:
    """A limit for gradients; one of 0, which elsewhere is a switch, would leave nothing of them."""
    told = above_zero(value)
    return told and f"{told}, or optim_wrapper.clip_grad=None to leave them as they are"


def whole_above_zero(value: Any) -> str:
    """1, 2, ..., or None."""
    fine = value is None or (_is_whole(value) and value >= 1)
    return "" if fine else "; give 1 or more, a whole number"


def seconds(value: Any) -> str:
    """A finite time."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return "" if is_number and 0 <= value < math.inf else "; give 0 or more seconds"


def seed(value: Any) -> str:
    """What numpy takes, or None."""
    fine = value is None or (isinstance(value, int) and 0 <= value <= _LARGEST_SEED)
    return "" if fine else f"; give a whole number from 0 to {_LARGEST_SEED}, or None"


def label(value: Any) -> str:
    """A label of a mask."""
    if isinstance(value, int) and 0 <= value <= _LARGEST_LABEL:
        return ""
    return (
        f"; give a whole number from 0 to {_LARGEST_LABEL}, such as 255, which losses and scores "
        "leave out"
    )


def switch(value: Any) -> str:
    """Of what is no bool, mmengine and torch take all but an empty thing for True."""
    return "" if isinstance(value, bool) else "; give True or False"


def text(value: Any) -> str:
    """Text that is not empty, or None."""
    fine = value is None or (isinstance(value, str) and value)
    return "" if fine else "; give a text, or None"


def not_none(value: Any) -> str:
    """Where a setting may be left out, but None means nothing."""
    return ", and nothing stands in for it; leave this setting out" if value is None else ""


def one_of(*choices: Any) -> Rule:
    """One of a few."""
    *others, last = map(str, choices)

    def rule(value: Any) -> str:
        if value in choices:
            return ""
        return _meant(value, choices) or f"; give {', '.join(others)} or {last}"

    return rule


def scope(value: Any) -> str:
    """A library whose registries names are looked up in first, among those that are imported."""
    known = ("mmengine", *MODELS.children)
    return "" if value in known else f"; it is one of {', '.join(known)}"


def registered(registry: Registry) -> Rule:
    """A name that the registry knows."""

    def rule(value: Any) -> str:
        if not isinstance(value, str) or is_registered(value, registry):
            return ""
        return f", which is not registered; {hint_of_unregistered(value, registry)}"

    return rule


def left_out(reason: str) -> Rule:
    """Nothing but None: something else sees to it."""

    def rule(value: Any) -> str:
        return "" if value is None else f"; leave it out: {reason}"

    return rule


def priority(value: Any) -> str:
    """Of a hook, as mmengine has them."""
    names = [one.name for one in Priority]
    known = value is None or isinstance(value, Priority)
    known = known or (isinstance(value, str) and value.upper() in names)
    if known or (isinstance(value, int) and 0 <= value <= 100):
        return ""
    return _meant(value, names) or f"; give one of {', '.join(names)}, or 0 to 100"


def log_level(value: Any) -> str:
    """A level of the logging module, by name or number."""
    named = isinstance(value, str) and isinstance(logging.getLevelName(value), int)
    return "" if named or isinstance(value, int) else "; give DEBUG, INFO, WARNING or ERROR"


def device(value: Any) -> str:
    """A device that memory can be pinned for; empty for the one in use."""
    with suppress(RuntimeError, TypeError):
        if value == "" or torch.device(value).type != "meta":
            return ""
    return "; leave it out, or give a device such as 'cuda'"


def function(value: Any) -> str:
    """A function, or the name of one that is registered."""
    kind = value.get("type") if isinstance(value, dict) else value
    if callable(kind) or (isinstance(value, dict) and isinstance(kind, str)):
        return ""
    return "; leave it out, or give dict(type=NAME) of a function that is registered in FUNCTIONS"


def sampler_or_none(value: Any) -> str:
    """Settings of a sampler."""
    fine = value is None or isinstance(value, dict)
    return "" if fine else "; give dict(type=NAME) of a sampler"


def sampler(*meant: str) -> Rule:
    """Settings of a sampler, without which no loader can do; ``meant`` is a fine one."""

    def rule(value: Any) -> str:
        if value is None:
            return (
                ": every process would read all of the data, in their order; give "
                f"dict({', '.join(meant)})"
            )
        return sampler_or_none(value)

    return rule


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _meant(value: Any, known: Any) -> str:
    if not isinstance(value, str):
        return ""
    near = nearest(value, [one for one in known if isinstance(one, str)])
    return f"; did you mean {near[0]!r}?" if near else ""
