"""Compose a clip of AVS-Stamps, in which objects take turns to sound: ``make_clip.py clip.mp4``."""

import argparse
from pathlib import Path

from projects.cpm_avs.inference.example_clips import write_example


def main(args: list[str] | None = None) -> None:
    """Write the clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="mp4 to write")
    parser.add_argument("--seed", type=int, default=1, help="which clip")
    parser.add_argument(
        "--subset", choices=("ss", "ms"), default="ms", help="one object sounds, or several"
    )
    options = parser.parse_args(args)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    print(write_example(options.out, seed=options.seed, subset=options.subset))


if __name__ == "__main__":
    main()
