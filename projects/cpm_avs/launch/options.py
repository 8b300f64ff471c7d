"""Types and options that the tools' command lines share."""

import argparse
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mmengine.config import DictAction

FIGURES = (".png", ".pdf", ".svg", ".jpg")
Number = TypeVar("Number", int, float)


def at_least(minimum: Number) -> Callable[[str], Number]:
    """A type for argparse: a number of the minimum's kind."""

    def number(text: str) -> Number:
        value = type(minimum)(text)
        if not value >= minimum:  # nor is NaN
            raise argparse.ArgumentTypeError(f"{text} is too small; give {minimum} or more")
        return value

    return number


def output_file(*suffixes: str) -> Callable[[str], Path]:
    """A type for argparse: a file that can be written; a mistake is told before the work."""

    def file(text: str) -> Path:
        path = Path(text)
        if suffixes and path.suffix.lower() not in suffixes:
            wanted = " or ".join(suffixes)
            raise argparse.ArgumentTypeError(f"{text!r}: give a name that ends in {wanted}")
        if path.is_dir():
            raise argparse.ArgumentTypeError(f"{text!r} is a folder; name a file in it")
        output_folder(str(path.parent))
        return path

    return file


def output_folder(text: str) -> Path:
    """A type for argparse: a folder that is there or can be made."""
    path = Path(text)
    nearest = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise argparse.ArgumentTypeError(f"'{nearest}' is a file; name a folder in its place")
    if not os.access(nearest, os.W_OK):
        raise argparse.ArgumentTypeError(f"'{nearest}' can't be written to; name another folder")
    return path


def setting(text: str) -> str:
    """A type for argparse: a ``KEY=VALUE`` that ``DictAction`` can read."""
    balanced = all(text.count(first) == text.count(last) for first, last in ("()", "[]"))
    if not re.match(r"[^=.]+(\.[^=.]+)*=", text) or not balanced:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no KEY=VALUE; write a list without white space, and quote its brackets"
        )
    return text


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add the option that overrides settings of the config."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        type=setting,
        action=DictAction,
        default={},
        metavar="KEY=VALUE",
        help="settings of the config to override: model.backbone.init_cfg=None, lists as "
        'key="[a,b]" or key=a,b, without white space',
    )


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """The options that mmseg's two tools share."""
    parser.add_argument(
        "--work-dir",
        type=output_folder,
        help="where logs and results go; default work_dirs/CONFIG",
    )
    add_cfg_options(parser)
    parser.add_argument(
        "--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none", help="of the job"
    )
    # torch.distributed.launch passes it; torchrun sets the variable itself.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)
