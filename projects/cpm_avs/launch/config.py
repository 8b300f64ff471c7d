"""The config that a tool works with: its file, the options applied, the work folder."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..config_files import ConfigError, read_config_file
from ..files import check_folder
from .config_agreement import check_counting, check_together, check_whole
from .config_keys import check_names, check_options
from .config_overrides import check_overrides
from .config_parts import check_parts

_OF_WORKERS = ("persistent_workers", "prefetch_factor", "timeout", "multiprocessing_context")
_HOOKS_OF_MMENGINE = (
    "runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint",
)  # fmt: skip


def read_config(
    name: str | None,
    settings: dict[str, Any] | None = None,
    *,
    read: Callable[..., Config] = read_config_file,
) -> Config:
    """A whole config.

    Args:
        name: Its file, or what else ``read`` takes.
        settings: Of the option --cfg-options.
        read: For inference, ``load_config`` of ``inference.model_loading``.

    Raises:
        ConfigError: There is no such config, it can't be read or is a part of one, or nothing
            reads one of its keys or of the settings.
    """
    cfg = read(name)
    check_names(cfg)
    check_overrides(Path(cfg.filename))
    check_options(cfg, settings or {})
    try:
        cfg.merge_from_dict(settings or {})
    except (KeyError, TypeError) as error:
        raise ConfigError(f"--cfg-options does not fit {name}: {error.args[0]}") from error
    except AttributeError as error:  # mmengine merges an entry of a list as settings
        given = ", ".join(settings or ())
        raise ConfigError(
            f"--cfg-options {given}: an entry of a list is changed by its settings "
            "(KEY.0.NAME=VALUE); else give the whole list"
        ) from error
    if cfg.get("model") is None:
        raise ConfigError(f"{name}: it has no model; give a whole config, not a part of one")
    check_parts(cfg)
    if "randomness" in cfg:  # mmengine asks for a seed wherever there is another setting of it
        cfg.randomness.setdefault("seed", None)
    for name, hook in list((cfg.get("default_hooks") or {}).items()):
        if hook is None and name not in _HOOKS_OF_MMENGINE:  # which lets only its own be left out
            cfg.default_hooks.pop(name)
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        settings = cfg.get(loader) or {}
        if settings.get("num_workers", 0) == 0:  # torch refuses what only workers have
            for key in _OF_WORKERS:
                settings.pop(key, None)
    return cfg


def load_config(args: argparse.Namespace) -> Config:
    """The config with the options applied. The work folder: option, config, then config's name."""
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    cfg = read_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = str(args.work_dir)
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs") / Path(cfg.filename).stem)
    check_together(cfg)
    check_whole(cfg)
    check_counting(cfg)
    check_folder(cfg.work_dir)
    return cfg
