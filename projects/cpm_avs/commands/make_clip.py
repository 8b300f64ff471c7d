"""Compose a clip in which objects take turns to sound.

cpm-avs make-clip clip.mp4 --seed 3
cpm-avs make-clip clip.mp4 --data-root data/real --truth truth
"""

import argparse
from pathlib import Path

from ..inference.example_clips import example_scenes, write_example
from ..launch import at_least, output_file, output_folder


def main(args: list[str] | None = None) -> None:
    """Write the clip."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=output_file(".mp4"), help="mp4 to write")
    parser.add_argument(
        "--seed", type=at_least(0), default=1, help="which clip (default: %(default)s)"
    )
    parser.add_argument(
        "--subset",
        choices=("ss", "ms"),
        default="ms",
        help="one object sounds, or several (default: %(default)s)",
    )
    parser.add_argument(
        "--data-root", help="folder with index.csv (docs/real.md); default: AVS-Stamps"
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        default=[],
        metavar="CLASS",
        help="only these are seen and heard (default: all)",
    )
    parser.add_argument("--seconds", type=at_least(0.1), default=6.0, help="default: %(default)s")
    parser.add_argument(
        "--truth",
        type=output_folder,
        metavar="FOLDER",
        help="for masks and report of what sounds, as demo --out-dir writes what it finds",
    )
    options = parser.parse_args(args)
    scenes = example_scenes(
        seed=options.seed,
        subset=options.subset,
        data_root=options.data_root,
        classes=options.classes,
    )
    truth = options.truth and Path(options.truth)
    print(write_example(options.out, scenes, seconds=options.seconds, truth=truth))
