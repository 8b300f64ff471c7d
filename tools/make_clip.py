"""Compose a clip of AVS-Stamps, in which objects take turns to sound: ``make_clip.py clip.mp4``."""

import argparse

from projects.cpm_avs.inference.example_clips import write_example
from projects.cpm_avs.launch import at_least, output_file, plain_errors


def main(args: list[str] | None = None) -> None:
    """Write the clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=output_file(".mp4"), help="mp4 to write")
    parser.add_argument("--seed", type=at_least(0), default=1, help="which clip")
    parser.add_argument(
        "--subset", choices=("ss", "ms"), default="ms", help="one object sounds, or several"
    )
    options = parser.parse_args(args)
    print(write_example(options.out, seed=options.seed, subset=options.subset))


if __name__ == "__main__":
    with plain_errors():
        main()
