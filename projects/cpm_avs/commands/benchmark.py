"""Times parts of the toolbox on this machine, with random weights.

    cpm-avs benchmark predict cpm_r50_avss-224 --vs mmseg
    cpm-avs benchmark train cpm_r50_avss --size 512x512 --batch 2
    cpm-avs benchmark stages cpm_r50_avss --size 512x512
    cpm-avs benchmark data cpm_r50_avss --vs mmseg
    cpm-avs benchmark metrics --classes 71

The first model, or mmseg's Mask2Former with ``--vs mmseg``, is 1.00. ``predict`` and ``train``:
from what a loader gives to class maps or changed weights; EM, which runs every few steps, is not
in it.
``stages``: the same by part of the model. ``data``: loading of training samples. ``metrics``:
scoring frames under both protocols against loading them.
"""

import argparse
import re
import shlex
import sys
import tempfile
from collections.abc import Iterable
from copy import deepcopy
from functools import reduce
from itertools import product
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction

from ..benchmarking.loading import loading_rows
from ..benchmarking.report import Row, show, write
from ..benchmarking.scoring import scoring_rows
from ..benchmarking.stages import stage_rows
from ..benchmarking.steps import Plan, predictions, subjects_of, training_steps
from ..errors import UserError
from ..inference.model_loading import find_device
from ..inference.predictor import PRECISIONS
from ..launch import (
    add_cfg_options,
    add_device_option,
    at_least,
    keep_freed_memory,
    output_file,
    read_config,
    setting,
)
from ..model_fit import check_config_classes


def size(text: str) -> tuple[int, int]:
    """A type for argparse: HxW, or one number for both."""
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if not found or min(sides := (int(found[1]), int(found[2] or found[1]))) < 32:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; give HxW of 32 or more: 720x1280")
    return sides


def batch(text: str) -> int | None:
    """A type for argparse: a number of samples, or 'best' as None."""
    return None if text == "best" else at_least(1)(text)


def _configs(args: argparse.Namespace) -> dict[str, Config]:
    names = [Path(name).stem for name in args.configs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"two configs are called {twice[0]}, as would be their rows; rename one")
    configs = {Path(name).stem: read_config(name, args.cfg_options) for name in args.configs}
    for cfg in configs.values():
        check_config_classes(cfg)  # what is varied behind it need not fit the data
    for key, values in args.vary.items():
        configs = {
            f"{name}, {key.rpartition('.')[2]} {value}": _varied(cfg, key, value)
            for name, cfg in configs.items()
            for value in (values if isinstance(values, list) else [values])
        }
    return configs


def _varied(cfg: Config, key: str, value: Any) -> Config:
    """A copy with another value."""
    *owners, last = key.split(".")
    varied = deepcopy(cfg)
    place = reduce(lambda place, name: place.get(name, {}), owners, varied)
    if last not in place:
        raise ValueError(f"--vary {key}: the config has no such setting; give one that it has")
    place[last] = value
    return varied


def _plan(args: argparse.Namespace) -> Plan:
    keep_freed_memory()  # as in training
    if find_device(args.device).type == "cuda":
        torch.set_num_threads(1)  # those that wait for a part of the next copy keep the cores busy
    return Plan(
        configs=_configs(args),
        sizes=args.size,
        batches=args.batch,
        precisions=args.precision,
        runs=args.runs,
        device=args.device,
        versus_mmseg=args.vs is not None,
        recorded=getattr(args, "compile", False),
        most=getattr(args, "most", 1),
    )


def _predict(args: argparse.Namespace) -> Iterable[Row]:
    return predictions(_plan(args))


def _train(args: argparse.Namespace) -> Iterable[Row]:
    return training_steps(_plan(args))


def _stages(args: argparse.Namespace) -> Iterable[Row]:
    plan = _plan(args)
    for precision in plan.precisions:
        subjects = subjects_of(plan, precision).values()
        for subject, pixels, count in product(subjects, plan.sizes, plan.batches):
            for what in ("predict", "train"):
                yield from stage_rows(subject, what, pixels, count or 1, runs=plan.runs)


def _data(args: argparse.Namespace) -> Iterable[Row]:
    with tempfile.TemporaryDirectory() as folder:
        yield from loading_rows(
            _configs(args), Path(folder), versus_mmseg=args.vs is not None, runs=args.runs
        )


def _metrics(args: argparse.Namespace) -> Iterable[Row]:
    torch.set_num_threads(1)
    return scoring_rows(args.frames, args.size, args.classes)


def _add_configs(parser: argparse.ArgumentParser, runs: int) -> None:
    parser.add_argument("configs", nargs="+", help="the first is what the others are compared to")
    parser.add_argument("--vs", choices=["mmseg"], help="compare to mmseg's Mask2Former instead")
    parser.add_argument(
        "--runs", type=at_least(1), default=runs, help="timed runs of each (default: %(default)s)"
    )
    parser.add_argument(
        "--vary",
        nargs=1,
        type=setting,
        action=DictAction,
        default={},
        metavar="KEY=V,V",
        help="a setting of the configs, a model for each value: "
        "model.decode_head.num_queries=50,100,200",
    )
    add_cfg_options(parser)


def _add_models(parser: argparse.ArgumentParser, batch_size: int, runs: int = 10) -> None:
    _add_configs(parser, runs)
    parser.add_argument(
        "--size",
        type=size,
        nargs="+",
        default=[(224, 224)],
        metavar="HxW",
        help="of pictures (default: 224x224)",
    )
    parser.add_argument(
        "--batch",
        type=batch,
        nargs="+",
        default=[batch_size],
        metavar="N",
        help="samples; 'best' doubles them until the frames/s of predictions grow no more "
        f"(default: {batch_size})",
    )
    parser.add_argument(
        "--precision", choices=sorted(PRECISIONS), nargs="+", default=["fp32"], help="default: fp32"
    )
    add_device_option(parser)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    predict = commands.add_parser("predict", help="predictions: frames per second, memory")
    _add_models(predict, batch_size=1)
    predict.add_argument(
        "--compile", action="store_true", help="predictions of the network as a CUDA graph, too"
    )
    predict.add_argument(
        "--most",
        type=at_least(1),
        default=1024,
        help="samples that --batch best tries at most (default: %(default)s)",
    )
    predict.set_defaults(run=_predict)
    train = commands.add_parser("train", help="training steps: iterations per second, memory")
    _add_models(train, batch_size=2)
    train.set_defaults(run=_train)
    stages = commands.add_parser("stages", help="predictions and training steps by part")
    _add_models(stages, batch_size=2, runs=5)
    stages.set_defaults(run=_stages)
    data = commands.add_parser("data", help="loading of training samples, in one process")
    _add_configs(data, runs=40)
    data.set_defaults(run=_data)
    metrics = commands.add_parser("metrics", help="scoring against loading")
    metrics.add_argument(
        "--frames", type=at_least(1), default=1000, help="to load and score (default: %(default)s)"
    )
    metrics.add_argument(
        "--size", type=at_least(1), default=224, help="height and width (default: %(default)s)"
    )
    metrics.add_argument(
        "--classes", type=at_least(2), default=71, help="2 is a binary set (default: %(default)s)"
    )
    metrics.set_defaults(run=_metrics)
    for command in (predict, train, stages, data, metrics):
        command.add_argument("--json", type=output_file(".json"), help="where to write the rows")
    return parser


def main() -> int:
    """Run one subcommand; exit status 1 where something could not be measured."""
    args = _parser().parse_args()
    rows: list[Row] = []
    for row in args.run(args):
        rows.append(row)
        if args.json:  # each time: what was measured stays where a later row takes too long
            device = getattr(args, "device", "cpu")
            write(args.json, command=shlex.join(sys.argv), device=device, rows=rows)
    show(rows)
    return int(any("error" in row for row in rows))
