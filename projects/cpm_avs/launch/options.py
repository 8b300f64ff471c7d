"""Types and options that the tools' command lines share."""

import argparse
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import torch
from mmengine.config import DictAction

from ..files import check_file, check_folder

FIGURES = (".png", ".pdf", ".svg", ".jpg")
Number = TypeVar("Number", int, float)


def at_least(minimum: Number) -> Callable[[str], Number]:
    """A type for argparse: a finite number of the minimum's kind."""

    def number(text: str) -> Number:
        value = type(minimum)(text)
        if not value >= minimum:  # nor is NaN
            raise argparse.ArgumentTypeError(f"{text} is too small; give {minimum} or more")
        if value == math.inf:
            raise argparse.ArgumentTypeError(f"{text} is no finite number")
        return value

    return number


def output_file(*suffixes: str) -> Callable[[str], Path]:
    """A type for argparse: a file that can be written; a mistake is told before the work."""

    def file(text: str) -> Path:
        path = Path(text)
        if suffixes and path.suffix.lower() not in suffixes:
            wanted = " or ".join(suffixes)
            raise argparse.ArgumentTypeError(f"{text!r}: give a name that ends in {wanted}")
        try:
            check_file(path)
        except OSError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        return path

    return file


def output_folder(text: str) -> Path:
    """A type for argparse: a folder that can be written to, or can be made."""
    try:
        check_folder(text)
    except OSError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return Path(text)


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


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the device."""
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="such as cuda:0 or cpu (default: the GPU, if any)",
    )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the model of an ``AVSInferencer``."""
    parser.add_argument("--config", help="name in configs/ or file (default: the built-in model)")
    parser.add_argument(
        "--checkpoint", type=Path, help="weights (default: those that come with it)"
    )


def add_speed_options(parser: argparse.ArgumentParser, precisions: Iterable[str]) -> None:
    """Add the options that say how fast an ``AVSInferencer`` is.

    Args:
        parser: Of a tool that makes one.
        precisions: Those of its ``Predictor``, which this room does not import.
    """
    parser.add_argument(
        "--batch-size", type=at_least(1), default=4, help="frames at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--precision",
        choices=[*precisions],
        default="fp32",
        help="half precision suits a GPU (default: %(default)s)",
    )
    parser.add_argument(
        "--record", action="store_true", help="replay the network as a CUDA graph: faster on a GPU"
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
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="of the job (default: none)",
    )
    # torch.distributed.launch passes it; torchrun sets the variable itself.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
