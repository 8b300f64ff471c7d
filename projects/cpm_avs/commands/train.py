"""Train a model.

    cpm-avs train cpm_r50_avss
    bash tools/dist_train.sh configs/cpm_r50_avss.py 8 --amp

The options are those of MMSegmentation's tools/train.py; --resume takes a file, as MMDetection's.
"""

import argparse
from collections.abc import Sequence

import torch
from mmengine.config import Config

from ..launch import (
    ModelFitHook,
    QuietRunner,
    ResumedCheckpointHook,
    add_common_options,
    built_from,
    claim_work_folder,
    end_with_launcher,
    go_on,
    keep_freed_memory,
    leave_processes,
    load_config,
    meet_without_gpu,
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; None is the process's own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="name in configs/ or file")
    parser.add_argument(
        "--resume",
        nargs="?",
        const=True,
        default=False,
        metavar="FILE",
        help="go on from the latest checkpoint in the work folder, or from FILE",
    )
    parser.add_argument(
        "--amp",
        action="store_true",
        help="mixed precision; float16, or bfloat16 with "
        "--cfg-options optim_wrapper.dtype=bfloat16",
    )
    add_common_options(parser)
    return parser.parse_args(argv)


def use_mixed_precision(cfg: Config) -> None:
    """Replace the optimizer wrapper; the config's other settings of it stay."""
    kind = cfg.optim_wrapper.type
    if kind == "AmpOptimWrapper":
        return
    if kind != "OptimWrapper":
        raise SystemExit(f"error: --amp replaces an OptimWrapper; the config has a {kind}")
    if not torch.cuda.is_available():
        raise SystemExit("error: --amp needs a GPU, and torch sees none; leave it out on the CPU")
    cfg.optim_wrapper.type = "AmpOptimWrapper"
    cfg.optim_wrapper.setdefault("loss_scale", "dynamic")


def train(args: argparse.Namespace) -> None:
    """Train as the command line says."""
    end_with_launcher()
    cfg = load_config(args)
    if args.amp:
        use_mixed_precision(cfg)
    go_on(cfg, args.resume)
    keep_freed_memory()
    meet_without_gpu(cfg)
    claim_work_folder(cfg)
    with built_from(cfg):
        runner = QuietRunner.from_cfg(cfg)
        runner.register_hook(ModelFitHook())
        if cfg.resume:
            source = cfg.get("load_from") or f"checkpoint in {cfg.work_dir}"
            runner.register_hook(ResumedCheckpointHook(source=source))
        runner.train()


def main(argv: Sequence[str] | None = None) -> None:
    """Train, then leave the job's other processes."""
    train(parse_args(argv))
    leave_processes()
