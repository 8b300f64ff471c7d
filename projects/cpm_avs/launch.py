"""What the tools share: their errors and options, the work folder, runs without a GPU."""

import argparse
import ctypes
import gc
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from mmengine.config import Config, DictAction
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from .safe_checkpoint import CheckpointError, check_fit
from .structures import BadSampleError

PACKAGE = Path(__file__).parent
FIGURES = (".png", ".pdf", ".svg", ".jpg")
Number = TypeVar("Number", int, float)
# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


@contextmanager
def plain_errors() -> Iterator[None]:
    """End with the message alone where what the user gave is at fault, which the message names."""
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None  # as shells count it: 128 and the signal's number
    except (ValueError, OSError) as error:
        if not _is_about_input(error):
            raise
        # Of an error in a DataLoader's worker torch makes the message the whole traceback.
        message = str(error).rpartition(f"{type(error).__name__}: ")[2].rstrip()
        raise SystemExit(f"error: {message}") from error


def _is_about_input(error: ValueError | OSError) -> bool:
    """Whether the message says what was given and what to do; from below, as torch, none does.

    The project's own ``raise ValueError`` does, wherever it stands (CONTRIBUTING.md, rule 11).
    """
    if isinstance(error, (CheckpointError, BadSampleError, FileNotFoundError)):
        return True
    if isinstance(error, OSError):
        return error.filename is not None
    # Of an error in a worker only the text tells where it came from.
    told = "".join(traceback.format_exception(error))
    file, line = re.findall(r'File "(.*)", line \d+, in .*\n *(.*)', told)[-1]
    return Path(file).is_relative_to(PACKAGE) and line.startswith("raise ")


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
    if not re.match("[^=]+=", text) or not balanced:
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


def keep_freed_memory() -> None:
    """Have glibc keep the memory that a tensor gives back, on a machine without CUDA.

    It hands blocks of this size to the system at once, and every new tensor then costs a page fault
    for each 4 KiB. Other C libraries have no such setting, and are left as they are.
    """
    if torch.cuda.is_available() or not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def meet_without_gpu(cfg: Config) -> None:
    """Let several processes meet over gloo on a machine without CUDA.

    mmengine would pick a GPU for each process whatever the backend is, and wrap the model for it.
    """
    if cfg.launcher == "none" or torch.cuda.is_available():
        return
    if cfg.launcher != "pytorch":
        raise SystemExit(
            f"error: --launcher {cfg.launcher} needs CUDA, and torch sees no GPU; processes on the "
            "CPU are started by tools/dist_train.sh (--launcher pytorch)"
        )
    cfg.env_cfg = {**cfg.get("env_cfg", {}), "dist_cfg": dict(backend="gloo")}
    cfg.sync_bn = None  # works on GPUs only
    cfg.model_wrapper_cfg = dict(
        type="MMDistributedDataParallel",
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get("find_unused_parameters", False),
    )
    torch.distributed.init_process_group("gloo")


def leave_processes() -> None:
    """End the meeting of a job's processes, after the runner has gone out of scope.

    gloo's threads live as long as the distributed model does, whose references are circular; one
    that is still busy when the interpreter ends aborts a process that had finished its work. The
    model is collected while the group still stands: were it the last to hold the group, the
    collection would wait, with Python's lock, for a thread that needs the lock to let go of its
    tensors. While the barrier waits, without the lock, such threads come to their end.
    """
    if torch.distributed.is_initialized():
        gc.collect()
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


class CheckpointFitHook(Hook):
    """Refuses a checkpoint of another model before mmengine loads the part that fits.

    Args:
        source: What the message names.
        ignored_prefix: Keys that the model need not have, and that are taken out of the checkpoint.
    """

    def __init__(self, *, source: str, ignored_prefix: str | None = None) -> None:
        self.source = source
        self.ignored_prefix = ignored_prefix

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare names and shapes."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        weights = checkpoint.get("state_dict", checkpoint)
        # mmengine strips this prefix, too.
        given = {key.removeprefix("module."): value for key, value in weights.items()}
        if self.ignored_prefix is not None:
            given = {k: v for k, v in given.items() if not k.startswith(self.ignored_prefix)}
        check_fit(model.state_dict(), given, self.source)
        weights.clear()
        weights.update(given)


class ResumedCheckpointHook(CheckpointFitHook):
    """Refuses a checkpoint that training can't go on from, too.

    mmengine would begin with a new optimiser and the schedule's first learning rate, amid the run.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare names and shapes, and look for the optimiser's state."""
        super().after_load_checkpoint(runner, checkpoint)
        if "optimizer" not in checkpoint:
            raise CheckpointError(
                f"{self.source}: it holds no state of the optimiser, as best_*.pth and published "
                "files do. Resume from a numbered checkpoint, or leave out --resume: load_from "
                "alone begins a new run with its weights."
            )
