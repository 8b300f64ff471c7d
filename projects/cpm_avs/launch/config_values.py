"""Values of a config that a library takes as they are, and that fail late, or never.

A schedule of -1, a process group of no backend, a gradient that is clipped to less than nothing:
each is held against the rules for its place in the config.
"""

import multiprocessing
import re
from functools import cache
from typing import Any

import torch
from mmengine.registry import FUNCTIONS
from mmseg import registry

from ..config_files import ConfigError
from . import value_rules as rules

LOADER = r"(train|val|test)_dataloader"
HOOK = r"(default|custom)_hooks\.\w+"
_STEP = rf"{LOADER}\..+\.(pipeline|transforms)\.\d+"
_SCHEDULER = r"param_scheduler(\.[a-z]+)?(\.\d+)?"
_RULES_OF_GROUPS = r"optim_wrapper\.paramwise_cfg"
_BACKENDS = {*torch.distributed.Backend.backend_list, "cncl", "hccl", "mccl", "smddp"}
_START_METHODS = (*multiprocessing.get_all_start_methods(), None)

#: Place -> its rule. Places may match several.
_RULES: dict[str, rules.Rule] = {
    # the run
    r"train_cfg\.(max_iters|max_epochs|val_interval)": rules.at_least(1),
    r"train_cfg\.(max_iters|max_epochs|val_interval|val_begin)|randomness": rules.not_none,
    r"default_hooks\.(checkpoint|logger|visualization)\.interval": rules.not_none,
    r"train_cfg\.val_begin": rules.at_least(0),
    r"(val|test)_cfg\.fp16|find_unused_parameters": rules.switch,
    r"randomness\.(deterministic|diff_rank_seed)|env_cfg\.cudnn_benchmark": rules.switch,
    r"randomness\.seed": rules.seed,
    r"load_from|work_dir|experiment_name": rules.text,
    r"log_level": rules.log_level,
    r"log_processor\.window_size|env_cfg\.resource_limit": rules.at_least(1),
    r"auto_scale_lr\.base_batch_size": rules.at_least(1),
    r"sync_bn": rules.one_of("torch", "mmcv", None),
    r"default_scope": rules.scope,
    r"env_cfg\.mp_cfg\.mp_start_method": rules.one_of(*_START_METHODS),
    r"env_cfg\.dist_cfg\.backend": rules.one_of(*sorted(_BACKENDS - {"undefined", "fake"})),
    r"(val|test)_evaluator(\.\d+)?\.collect_device": rules.one_of("cpu", "gpu", "npu"),
    rf"{HOOK}\.begin": rules.at_least(0),
    rf"{HOOK}\.priority": rules.priority,
    # data
    rf"{LOADER}\.(batch_size|prefetch_factor)": rules.at_least(1),
    rf"{LOADER}\.(batch_size|dataset)": rules.not_none,
    rf"{LOADER}\.num_workers": rules.at_least(0),
    rf"{LOADER}\.num_batch_per_epoch": rules.whole_above_zero,
    rf"{LOADER}\.timeout": rules.seconds,
    rf"{LOADER}\.(persistent_workers|pin_memory|drop_last)": rules.switch,
    rf"{LOADER}\.(in_order|disable_subprocess_warning)": rules.switch,
    rf"{LOADER}\.pin_memory_device": rules.device,
    rf"{LOADER}\.multiprocessing_context": rules.one_of(*_START_METHODS),
    rf"{LOADER}\.(collate_fn|worker_init_fn)": rules.function,
    rf"{LOADER}\.(collate_fn|worker_init_fn)\.type": rules.registered(FUNCTIONS),
    r"train_dataloader\.sampler": rules.sampler("type='InfiniteDrawSampler'"),
    r"(val|test)_dataloader\.sampler": rules.sampler("type='DefaultSampler'", "shuffle=False"),
    rf"{LOADER}\.batch_sampler": rules.sampler_or_none,
    rf"{LOADER}\.shuffle": rules.left_out("the sampler shuffles (sampler.shuffle)"),
    rf"{LOADER}\.generator": rules.left_out("draws follow from randomness.seed"),
    rf"{LOADER}\.dataset\.(.+\.)?max_refetch": rules.at_least(0),
    rf"{_STEP}\.(scales?|size|crop_size|base_size)(\.\d+)*": rules.at_least(1),
    rf"{_STEP}\.(scale_factor|scale_range|ratio_range)(\.\d+)*": rules.above_zero,
    rf"{_STEP}\.(seg_pad_val|pad_val\.seg)|model\.data_preprocessor\.seg_pad_val": rules.label,
    # the model
    r"model\.decode_head\.(num_queries|embed_dims|feedforward_channels)": rules.at_least(1),
    r"model\.criterion\.(\w+\.)?\w+_weight": rules.at_least(0),
    r"model\.data_preprocessor\.size_divisor": rules.at_least(1),
    # mmcv says it can't find None
    r"model\.(.*\.)?(norm|act|conv)_cfg\.type": rules.registered(registry.MODELS),
    # the optimiser
    r"optim_wrapper\.optimizer(\.lr)?": rules.not_none,
    r"optim_wrapper\.optimizer\.lr": rules.at_least(0),
    r"optim_wrapper\.optimizer\.type": rules.registered(registry.OPTIMIZERS),
    r"optim_wrapper\.constructor": rules.registered(registry.OPTIM_WRAPPER_CONSTRUCTORS),
    r"optim_wrapper\.accumulative_counts": rules.at_least(1),
    r"optim_wrapper\.clip_grad\.(max_norm|clip_value)": rules.clipping,
    r"optim_wrapper\.clip_grad\.type": rules.one_of("norm", "value"),
    rf"{_RULES_OF_GROUPS}\.(.+\.)?\w+_mult": rules.at_least(0),
    rf"{_SCHEDULER}\.(begin|eta_m(in|ax)|eta_min_ratio|gamma|factor|power)": rules.at_least(0),
    rf"{_SCHEDULER}\.start_factor": rules.above_zero,
}


def check_value(where: str, value: Any) -> None:
    """Refuse a value that can't work at its place.

    Args:
        where: Its place in the config, a dotted key.
        value: What stands there.

    Raises:
        ConfigError: With what may stand there.
    """
    for rule in _rules_at(where):
        if rest := rule(value):
            raise ConfigError(f"{where} is {value!r}{rest}")


@cache
def _rules_at(where: str) -> list[rules.Rule]:
    """Those for a place: whoever reads one config after another asks for the same places."""
    return [rule for place, rule in _RULES.items() if re.fullmatch(place, where)]
