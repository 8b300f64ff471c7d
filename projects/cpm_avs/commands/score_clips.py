"""Score a model on composed clips: mIoU, flicker, onset and offset errors, time a frame.

    cpm-avs score-clips cpm_mbv2-yamnet_stamps
    cpm-avs score-clips CONFIG CHECKPOINT --clips 20 --out clips.json
    cpm-avs score-clips CONFIG CHECKPOINT --figure clips.png --beside OTHER_CONFIG OTHER_CHECKPOINT

Objects move, and take turns to sound; the truth of every frame is known. The clips are of the
config's own test set, which has to be a composed one. Frames go through the model one at a time, as
of a stream. docs/metrics.md tells what the numbers mean.
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ..benchmarking.clip_scores import ClipScores, clip_scenes, score_clips, stream_clip
from ..datasets.composed.clip import ComposedClip
from ..files import whole_file, write_whole
from ..inference import AVSInferencer
from ..inference.model_loading import load_config
from ..inference.results import FrameResult
from ..launch import (
    FIGURES,
    add_device_option,
    at_least,
    built_from,
    output_file,
    read_config,
)
from ..visualization.clip_figure import ClipAreas, areas_figure, class_shares

_SHOWN = 4  # clips of the figure
#: Class maps by the figure's column, then by clip, then by frame.
Maps = dict[str, Sequence[Sequence[NDArray[np.integer]]]]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; None is the process's own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="name in configs/ or file, of a composed data set")
    parser.add_argument(
        "checkpoint", nargs="?", type=Path, help="weights (default: those that come with it)"
    )
    parser.add_argument("--clips", type=at_least(1), default=20, help="default: %(default)s")
    parser.add_argument("--seconds", type=at_least(0.5), default=6.0, help="default: %(default)s")
    parser.add_argument("--fps", type=at_least(1.0), default=12.0, help="default: %(default)s")
    parser.add_argument("--seed", type=at_least(0), help="of the clips (default: the config's)")
    add_device_option(parser)
    parser.add_argument("--out", type=output_file(".json"), help="file for the numbers")
    parser.add_argument(
        "--figure", type=output_file(*FIGURES), help="picture of what is coloured when to write"
    )
    parser.add_argument(
        "--beside",
        nargs=2,
        metavar=("CONFIG", "CHECKPOINT"),
        help="a model to show in the figure, too",
    )
    args = parser.parse_args(argv)
    if args.beside and args.figure is None:
        parser.error("--beside is shown in a figure; give --figure FILE")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Score, print and write."""
    args = parse_args(argv)
    console = Console(stderr=True, highlight=False)
    config = read_config(args.config, read=load_config)
    clips: list[ComposedClip] = []
    found: list[list[NDArray[np.integer]]] = []

    def keep(clip: ComposedClip, results: Sequence[FrameResult]) -> None:
        if args.figure is not None and len(clips) < _SHOWN:
            clips.append(clip)
            found.append([result.class_map for result in results])

    with built_from(config):
        scenes = clip_scenes(config, clips=args.clips, seed=args.seed)
        inferencer = AVSInferencer(config, args.checkpoint, args.device, batch_size=1)
        with console.status("clips") as status:
            scores = score_clips(
                inferencer,
                scenes,
                seconds=args.seconds,
                fps=args.fps,
                progress=lambda done: status.update(f"{done} of {args.clips} clips"),
                keep=keep,
            )
    Console(highlight=False).print(table_of(scores))
    if args.out is not None:
        numbers = {k: None if math.isnan(v) else v for k, v in asdict(scores).items()}
        write_whole(args.out, json.dumps(numbers, indent=1) + "\n")
        print(args.out)
    if args.figure is not None:
        maps: Maps = {Path(args.config).stem: found}
        if args.beside is not None:
            other, weights = args.beside
            name = Path(other).stem
            title = f"{name}, other weights" if name in maps else name
            model = _built(other, weights, args.device)
            seen = [[one.class_map for one in stream_clip(model, clip)] for clip in clips]
            maps = {title: seen, **maps}
        maps = {"truth": [list(clip.masks) for clip in clips], **maps}
        draw(maps, inferencer.classes, args)
        print(args.figure)


def _built(name: str, checkpoint: str, device: str | None) -> AVSInferencer:
    config = read_config(name, read=load_config)
    with built_from(config):
        return AVSInferencer(config, checkpoint, device, batch_size=1)


def draw(maps: Maps, classes: Sequence[str], args: argparse.Namespace) -> None:
    """The first clips, as they are and as models see them."""
    rows = [
        ClipAreas(
            {title: class_shares(own, len(classes)) for title, own in zip(maps, clip, strict=True)},
            f"clip {index}",
        )
        for index, clip in enumerate(zip(*maps.values(), strict=True))
    ]
    with whole_file(args.figure) as part:
        areas_figure(rows, classes, args.fps).savefig(part, dpi=100)


def table_of(scores: ClipScores) -> Table:
    """A row a number, with its unit."""
    table = Table(title=f"{scores.clips} clips, {scores.frames} frames")
    table.add_column("")
    table.add_column("", justify="right")
    back = "no frame" if scores.window == 1 else f"{scores.window - 1} frames"
    for name, value in (
        ("mIoU", f"{scores.miou:.1f} %"),
        ("flicker", f"{scores.flicker:.2f} %"),
        ("onset error", f"{scores.onset:.2f} s"),
        ("offset error", f"{scores.offset:.2f} s"),
        ("stretches missed", f"{scores.missed} of {scores.stretches}"),
        ("stretches too many", f"{scores.false}"),
        ("looks back over", back),
        ("smooths over", f"{scores.smoothing:g} s"),
        ("delay", f"{scores.delay} frames"),
        ("sound after the frame", f"{scores.sound_ahead:.2f} s"),
        ("time a frame", f"{scores.ms_per_frame:.1f} ms"),
    ):
        table.add_row(name, value)
    return table
