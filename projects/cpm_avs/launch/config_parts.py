"""The parts of a config that say what a run is built of, held against what the parts take.

Most of them raise when they are built, deep in a library; some, as an interval or a rule of the
optimiser, only matter hours later, or never.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing
from mmseg import registry
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.utils.data import DataLoader

from ..config_files import ConfigError, is_registered, nearest
from .arguments import check_arguments, check_items
from .config_agreement import check_hook
from .config_keys import walk
from .config_values import HOOK, LOADER, check_value

#: Part -> registry that its ``type`` is looked up in, or what is called.
_BUILT_BY: dict[str, Registry | Callable] = {
    r"(train|val|test)_cfg": registry.LOOPS,
    LOADER: DataLoader,
    rf"{LOADER}\.dataset(\.dataset|\.datasets\.\d+)*": registry.DATASETS,
    rf"{LOADER}\.(batch_)?sampler": registry.DATA_SAMPLERS,
    rf"{LOADER}\..*\.(pipeline|transforms)\.\d+": registry.TRANSFORMS,
    r"(val|test)_evaluator(\.\d+)?(\.metrics(\.\d+)?)?": registry.METRICS,
    r"optim_wrapper": registry.OPTIM_WRAPPERS,
    r"optim_wrapper\.optimizer": registry.OPTIMIZERS,
    r"param_scheduler(\.[a-z]+)?(\.\d+)?": registry.PARAM_SCHEDULERS,
    HOOK: registry.HOOKS,
    r"visualizer": registry.VISUALIZERS,
    r"visualizer\.vis_backends\.\d+": registry.VISBACKENDS,
    r"log_processor": registry.LOG_PROCESSORS,
    r"randomness": Runner.set_randomness,
    r"env_cfg\.mp_cfg": set_multi_processing,
    r"model(\.\w+)*(?<!_cfg)": registry.MODELS,
    r"model\.(.*\.)?init_cfg(\.\d+)?": registry.WEIGHT_INITIALIZERS,
}
#: Parts that can't be a plain value.
_DICTS = (
    rf"model|(train|val|test)_cfg|{LOADER}(\.dataset|\.(batch_)?sampler)?|randomness|visualizer|"
    r"optim_wrapper(\.optimizer|\.clip_grad|\.paramwise_cfg)?|(default|custom)_hooks(\.\w+)?|"
    r"env_cfg(\.mp_cfg|\.dist_cfg)?|auto_scale_lr|log_processor|(val|test)_evaluator(\.\d+)?|param_scheduler(\.\d+)?"
)
#: Of these the ones of which there may be several.
_SEVERAL = r"custom_hooks|(val|test)_evaluator|param_scheduler(\.\d+)?"
#: Parts that are nothing without a type.
_NAMED = (
    r"(default|custom)_hooks\.\w+|optim_wrapper\.optimizer|model|param_scheduler(\.[a-z]+)?\.\d+|"
    rf"{LOADER}\.(dataset|(batch_)?sampler|dataset\.pipeline\.\d+)|(val|test)_evaluator\.\d+"
)
#: Keys that mmengine reads before it builds the part.
_BESIDE = (
    "type", "_scope_", "priority", "constructor", "paramwise_cfg", "convert_to_iter_based",
    "num_batch_per_epoch", "disable_subprocess_warning",
)  # fmt: skip
#: Parts whose keys mmengine looks up one by one, with their types; a misspelt one would change
#: nothing.
_LOOKED_UP: dict[str, dict[str, type]] = {
    "env_cfg": dict(cudnn_benchmark=bool, mp_cfg=dict, dist_cfg=dict, resource_limit=int),
    "auto_scale_lr": dict(enable=bool, base_batch_size=int),
    "optim_wrapper.paramwise_cfg": dict(
        custom_keys=dict, bias_lr_mult=float, bias_decay_mult=float, norm_decay_mult=float,
        flat_decay_mult=float, dwconv_decay_mult=float, dcn_offset_lr_mult=float,
        bypass_duplicate=bool,
    ),
}  # fmt: skip
#: Other constructors of an optimiser read rules of their own.
_OF_THE_DEFAULT_RULES = (None, "DefaultOptimWrapperConstructor", "MergedGroupsConstructor")
_RULE = dict(lr_mult=float, decay_mult=float)


def check_parts(cfg: Config) -> None:
    """Refuse keys that no part takes, and values that it can't work with.

    A part whose ``type`` is not registered is left to the builder.

    Raises:
        ConfigError: Which key, and the nearest that the part takes, or what the value must be.
    """
    settings = cfg._cfg_dict.to_dict()
    wrapper = settings.get("optim_wrapper")
    if isinstance(wrapper, dict) and wrapper.get("constructor") not in _OF_THE_DEFAULT_RULES:
        wrapper.pop("paramwise_cfg", None)  # its own rules
    for path, part in walk(settings):
        where = ".".join(path)
        plain = isinstance(part, (str, int, float)) or (part is None and where == "env_cfg")
        if plain and _matches(_DICTS, where):
            raise ConfigError(f"{where} is {part!r}; it has settings of its own: {where}.KEY=VALUE")
        several = isinstance(part, (list, tuple)) and not _matches(_SEVERAL, where)
        if several and _matches(_DICTS, where):
            raise ConfigError(f"{where} is a list; give dict(KEY=VALUE)")
        if isinstance(part, dict) and "type" not in part and _matches(_NAMED, where):
            beside = [".".join(one) for one, _ in walk(settings) if one[:-1] == path[:-1]]
            near = nearest(where, [one for one in beside if one != where], cutoff=0.9)
            hint = f"did you mean {near[0]}?" if near else "say which class builds it"
            raise ConfigError(f"{where} has no type; {hint}")
        if isinstance(part, dict):
            _check_part(where, part, _built_by(where))
            if _matches(HOOK, where):
                check_hook(where, part)
        check_value(where, part)
    _check_decay(settings.get("optim_wrapper"))
    if isinstance(settings.get("custom_hooks"), dict):
        raise ConfigError("custom_hooks has settings by name; give a list of hooks, each a dict")


@cache  # whoever reads one config after another asks for the same places
def _matches(pattern: str, where: str) -> bool:
    return re.fullmatch(pattern, where) is not None


@cache
def _built_by(where: str) -> Registry | Callable | None:
    """What looks up, or takes, the part at a place."""
    return next((by for pattern, by in _BUILT_BY.items() if re.fullmatch(pattern, where)), None)


def _check_decay(wrapper: Any) -> None:
    """Mmengine would say that a base_wd is None."""
    if not isinstance(wrapper, dict) or not isinstance(wrapper.get("optimizer"), dict):
        return
    rules = [part for _, part in walk(dict(paramwise_cfg=wrapper.get("paramwise_cfg")))]
    scaled = {
        key for part in rules if isinstance(part, dict) for key in part if "decay_mult" in key
    }
    if scaled and wrapper["optimizer"].get("weight_decay") is None:
        raise ConfigError(
            f"optim_wrapper.optimizer has no weight_decay, which {', '.join(sorted(scaled))} of "
            "optim_wrapper.paramwise_cfg multiply; give weight_decay=0 for none"
        )


def _check_part(where: str, part: dict[str, Any], by: Registry | Callable | None) -> None:
    for target in _targets(part, by):
        check_arguments(where, part, target, beside=_BESIDE)
    if where in _LOOKED_UP:
        check_items(where, part, _LOOKED_UP[where])
    if where == "env_cfg.dist_cfg":
        check_items(where, part, dict(backend=str), any_other=True)  # others go to torch
    if where == "optim_wrapper.clip_grad":
        clip = clip_grad_value_ if part.get("type") == "value" else clip_grad_norm_
        check_arguments(where, part, clip, beside=("type",))
    if where.startswith("optim_wrapper.paramwise_cfg.custom_keys."):
        check_items(where, part, _RULE, any_other=True)  # others go to the optimiser


def _targets(part: Mapping[str, Any], by: Registry | Callable | None) -> Iterator[Callable]:
    """What builds the part, if it is known."""
    if not isinstance(by, Registry):
        if by is not None:
            yield by
        return
    kind = part.get("type")
    if callable(kind):
        yield kind
    elif isinstance(kind, str) and is_registered(kind, by):
        yield by.get(kind)
