"""Peak memory of segmenting videos of several lengths: it must not grow with them.

    cpm-avs measure-memory --seconds 10 600

Every length runs in a process of its own, with all outputs (masks, overlay with sound, report).
"""

import argparse
import multiprocessing

import torch

from ..benchmarking.video_memory import Video, measure_video
from ..inference.model_loading import build_bare, load_config
from ..launch import at_least, built_from, read_config


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", help="name in configs/ or file (default: the built-in model)")
    parser.add_argument(
        "--seconds",
        type=at_least(1),
        nargs="+",
        default=[10, 600],
        help="lengths (default: 10 600)",
    )
    parser.add_argument(
        "--size",
        type=at_least(8),
        nargs=2,
        default=(360, 640),
        metavar=("H", "W"),
        help="of the pictures (default: 360 640)",
    )
    parser.add_argument(
        "--rate",
        type=at_least(1),
        default=25,
        help="frames per second of the video (default: %(default)s)",
    )
    parser.add_argument(
        "--fps",
        type=at_least(0.001),
        default=1.0,
        help="frames per second segmented (default: %(default)s)",
    )
    return parser.parse_args(args)


def measure(video: Video, options: argparse.Namespace) -> None:
    """Print what one video takes; in a process of its own."""
    torch.set_num_threads(1)
    took = measure_video(options.config, video, fps=options.fps)
    print(
        f"{video.seconds:6d} s {took.frames:7d} frames {took.seconds:7.0f} s "
        f"{took.peak_mib:7.0f} MiB",
        flush=True,
    )


def main() -> int:
    """Measure all lengths."""
    options = parse_args()
    config = read_config(options.config, read=load_config)
    with built_from(config):
        build_bare(config)  # rather than fail in every process
    print(" video          shown    took  peak memory")
    context = multiprocessing.get_context("spawn")  # a fork would start with the parent's peak
    for seconds in options.seconds:
        video = Video(seconds, tuple(options.size), options.rate)
        process = context.Process(target=measure, args=(video, options))
        process.start()
        process.join()
        if process.exitcode:
            return 1
    return 0
