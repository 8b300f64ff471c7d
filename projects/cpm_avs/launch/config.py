"""The config that a tool works with: its file, the options applied, the work folder."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import Config


def read_config(
    name: str | None,
    settings: dict[str, Any] | None = None,
    *,
    read: Callable[..., Config] = Config.fromfile,
) -> Config:
    """A whole config.

    Args:
        name: Its file, or what else ``read`` takes.
        settings: Of the option --cfg-options.
        read: For inference, ``load_config`` of ``inference.model_loading``.
    """
    try:
        cfg = read(name)
    except OSError as error:
        problem = error if Path(str(name)).is_file() else "no such config; they are in configs/"
        raise SystemExit(f"error: {name}: {problem}") from error
    try:
        cfg.merge_from_dict(settings or {})
    except (KeyError, TypeError) as error:
        raise SystemExit(f"error: --cfg-options does not fit {name}: {error.args[0]}") from error
    if "model" not in cfg:
        raise SystemExit(f"error: {name}: it has no model; give a whole config, not a part of one")
    return cfg


def load_config(args: argparse.Namespace) -> Config:
    """The config with the options applied. The work folder: option, config, then config's name."""
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    cfg = read_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = str(args.work_dir)
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs") / Path(args.config).stem)
    return cfg
