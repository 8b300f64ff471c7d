"""Test a model.

    cpm-avs test cpm_r50_avss work_dirs/cpm_r50_avss/epoch_100.pth
    cpm-avs test CONFIG CHECKPOINT --audio silence --out masks
    cpm-avs test CONFIG CHECKPOINT --audio all

The options are those of MMSegmentation's tools/test.py without --tta, and --audio, which replaces
the sound to show whether the model listens.
"""

import argparse
from collections.abc import Sequence

from mmengine.config import Config

from ..evaluation.robustness_loop import hear
from ..launch import (
    CheckpointFitHook,
    ModelFitHook,
    QuietRunner,
    add_common_options,
    built_from,
    end_with_launcher,
    keep_freed_memory,
    leave_processes,
    load_config,
    meet_without_gpu,
    output_folder,
)
from ..safe_checkpoint import TRAINING_PREFIX


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; None is the process's own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="name in configs/ or file")
    parser.add_argument("checkpoint", help="file that training or publish-model wrote")
    parser.add_argument(
        "--out",
        type=output_folder,
        help="folder for the predicted masks, PNG with class indices",
    )
    parser.add_argument("--show", action="store_true", help="show the predictions in a window")
    parser.add_argument(
        "--show-dir",
        type=output_folder,
        help="folder for drawn predictions; of the first process",
    )
    parser.add_argument(
        "--wait-time",
        type=float,
        default=2,
        help="seconds between shown windows (default: %(default)s)",
    )
    parser.add_argument(
        "--audio",
        choices=["normal", "silence", "noise", "offscreen", "all"],
        default="normal",
        help="what is heard (default: %(default)s); with silence, noise and offscreen all that is "
        "segmented counts as false. all: a pass with each, and AVSBench-Robust's G-mIoU, G-F and "
        "G-FPR",
    )
    add_common_options(parser)
    args = parser.parse_args(argv)
    if args.audio == "all" and (args.out or args.show or args.show_dir):
        parser.error("--out, --show and --show-dir are for one sound; name it with --audio")
    return args


def draw_predictions(cfg: Config, args: argparse.Namespace) -> None:
    """Switch the visualisation hook on."""
    if "visualization" not in cfg.get("default_hooks", {}):
        raise SystemExit("error: --show and --show-dir need default_hooks.visualization")
    cfg.default_hooks.visualization.draw = True
    if args.show:
        cfg.default_hooks.visualization.update(show=True, wait_time=args.wait_time)
    if args.show_dir:
        cfg.visualizer.save_dir = str(args.show_dir)


def replace_sound(cfg: Config, condition: str) -> None:
    """Test with another sound, or with all, and count what is segmented all the same."""
    if condition == "all":
        cfg.test_cfg = dict(cfg.test_cfg, type="RobustnessLoop")
    else:
        hear(cfg.test_dataloader.dataset, condition)
    evaluators = cfg.test_evaluator
    evaluators = list(evaluators) if isinstance(evaluators, (list, tuple)) else [evaluators]
    cfg.test_evaluator = [*evaluators, dict(type="RobustnessMetric")]


def test(args: argparse.Namespace) -> None:
    """Test as the command line says."""
    end_with_launcher()
    cfg = load_config(args)
    cfg.load_from = args.checkpoint
    if args.show or args.show_dir:
        draw_predictions(cfg, args)
    if args.audio != "normal":
        replace_sound(cfg, args.audio)
    if args.out is not None:
        writer = dict(type="MaskWriterHook", out_dir=str(args.out))
        cfg.custom_hooks = [*cfg.get("custom_hooks", []), writer]
    if "criterion" in cfg.get("model", {}):  # a published file has nothing for it
        cfg.model.criterion = None
    keep_freed_memory()
    meet_without_gpu(cfg)
    with built_from(cfg):
        runner = QuietRunner.from_cfg(cfg)
        runner.register_hook(ModelFitHook())
        runner.register_hook(
            CheckpointFitHook(source=args.checkpoint, ignored_prefix=TRAINING_PREFIX)
        )
        runner.test()


def main(argv: Sequence[str] | None = None) -> None:
    """Test, then leave the job's other processes."""
    test(parse_args(argv))
    leave_processes()
