"""Peak memory of segmenting videos of several lengths: it must not grow with them.

    cpm-avs measure-memory --seconds 10 600

Every length runs in a process of its own, with all outputs (masks, overlay with sound, report).
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from ..inference import AVSInferencer
from ..inference.model_loading import build_bare, load_config
from ..launch import at_least, built_from, read_config
from ..media.audio_functional import Waveform
from ..media.video_writer import VideoWriter

_RATE = 16000


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


def write_video(path: Path, seconds: int, options: argparse.Namespace) -> None:
    """A moving texture with noise for sound, of any length."""
    height, width = options.size
    generator = np.random.default_rng(0)
    texture = generator.integers(0, 256, (height // 8, 2 * width // 8, 3), dtype=np.uint8)
    texture = np.kron(texture, np.ones((8, 8, 1), np.uint8))

    def sound() -> Iterator[Waveform]:
        for _ in range(seconds):
            yield generator.normal(0, 0.1, (1, _RATE)).astype(np.float32)

    writer = VideoWriter(
        path, width=width, height=height, rate=Fraction(options.rate), sound=sound(),
        sample_rate=_RATE, channels=1,
    )  # fmt: skip
    for index in range(seconds * options.rate):
        left = index % width
        writer.write(texture[:, left : left + width], index / options.rate)
    writer.close(seconds)


def measure(seconds: int, options: argparse.Namespace) -> None:
    """Segment one video, then print the process's peak memory."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = load_config(options.config)
        torch.manual_seed(0)
        torch.save(build_bare(config).state_dict(), folder / "random.pth")
        write_video(folder / "video.mp4", seconds, options)
        inferencer = AVSInferencer(config, folder / "random.pth")
        before = time.perf_counter()
        result = inferencer(
            folder / "video.mp4",
            out_dir=folder / "out",
            strip=True,
            fps=options.fps,
            keep_frames=False,
        )
        took = time.perf_counter() - before
        assert not isinstance(result, list)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    print(f"{seconds:6d} s {result.num_frames:7d} frames {took:7.0f} s {peak:7.0f} MiB", flush=True)


def main() -> int:
    """Measure all lengths."""
    options = parse_args()
    config = read_config(options.config, read=load_config)
    with built_from(config):
        build_bare(config)  # rather than fail in every process
    print(" video          shown    took  peak memory")
    context = multiprocessing.get_context("spawn")  # a fork would start with the parent's peak
    for seconds in options.seconds:
        process = context.Process(target=measure, args=(seconds, options))
        process.start()
        process.join()
        if process.exitcode:
            return 1
    return 0
