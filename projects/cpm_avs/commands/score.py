"""Score anybody's masks: PNG files against a benchmark or a folder of true masks.

    cpm-avs score MASKS data/AVSBench/AVSBench-object/Single-source
    cpm-avs score MASKS TRUTH --protocol all --out scores
    cpm-avs score --compare MASKS_A MASKS_B TRUTH

No model and no config are needed. TRUTH is the folder of S4, MS3, AVSBench-semantic or VPO as it is
distributed, or one with PNG masks whose names are those of MASKS. Ends with status 0, or with 1
where frames have no usable mask, which count as wrong at every pixel. docs/scoring.md tells more.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ..errors import UserError
from ..evaluation.frame_counts import PROTOCOLS
from ..files import check_file
from ..launch import at_least, output_folder
from ..scoring import compare, score_set, summarise, tables
from ..scoring.files_out import (
    COMPARISON_FILES,
    SCORE_FILES,
    write_comparison,
    write_scores,
)
from ..scoring.frames import FOREGROUND, Rules
from ..scoring.reading import ENCODINGS
from ..scoring.reports import check_same_classes
from ..scoring.truth import LAYOUTS, Truth, find_truth
from ..scoring.whole_set import Scored

#: What ``--protocol`` may say.
CHOICES = {
    "dataset": ("dataset",),
    "avsbench": ("avsbench",),
    "both": PROTOCOLS,
    FOREGROUND: (FOREGROUND,),
    "all": (*PROTOCOLS, FOREGROUND),
}


#: Side of the largest masks that are scored; a slip at the keyboard would fill the memory.
_LARGEST = 4096


def size(text: str) -> tuple[int, int]:
    """A type for argparse: '224' or '1280x720', as width and height."""
    sides = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    width, height = (int(sides[1]), int(sides[2] or sides[1])) if sides else (0, 0)
    if not width * height:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number of pixels or WIDTHxHEIGHT")
    if width * height > _LARGEST**2:
        raise argparse.ArgumentTypeError(f"{text!r}: give {_LARGEST}x{_LARGEST} at most")
    return width, height


def size_or_truth(text: str) -> str | tuple[int, int]:
    """A type for argparse: the same, or 'truth'."""
    return text if text == "truth" else size(text)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; None is the process's own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("masks", nargs="?", type=Path, help="folder of the predicted PNG masks")
    parser.add_argument("truth", type=Path, help="a benchmark's folder, or one of PNG masks")
    parser.add_argument(
        "--compare", nargs=2, type=Path, metavar=("A", "B"), help="two folders of predicted masks"
    )
    parser.add_argument(
        "--protocol",
        choices=CHOICES,
        default="both",
        help="which scores; all has the foreground's (default: %(default)s)",
    )
    parser.add_argument(
        "--layout", choices=LAYOUTS, help="of the truth, where its folder does not tell"
    )
    parser.add_argument("--split", help="of a benchmark; default test")
    parser.add_argument("--index", type=Path, help="index of a benchmark, if not the published one")
    parser.add_argument(
        "--classes",
        help="of plain folders: avss, vpo, a number or a file of names, background first; binary: "
        "object against background, of any truth",
    )
    parser.add_argument(
        "--encoding",
        choices=ENCODINGS,
        default="auto",
        help="how the predicted files carry classes; default by the number of classes and channels",
    )
    parser.add_argument(
        "--probability",
        type=Path,
        metavar="FOLDER",
        help="grey maps of the object's probability, for the F curve of two classes; default "
        "MASKS/probability if it is there",
    )
    parser.add_argument(
        "--size",
        type=size_or_truth,
        metavar="SIZE",
        help="224 or 1280x720: resize both masks to it; truth: the predicted ones to the truth's "
        "size; by default another size than the truth's is an error of the mask",
    )
    parser.add_argument(
        "--foreground-size", type=size, default=(1024, 1024), metavar="SIZE", help="default 1024"
    )
    parser.add_argument(
        "--legacy-batch",
        type=at_least(1),
        metavar="CLIPS",
        help="add J and F as scripts with so many clips a batch have them; of two classes",
    )
    parser.add_argument("--per-class", action="store_true", help="print a table of the classes")
    parser.add_argument("--per-clip", action="store_true", help="print a table of the clips")
    parser.add_argument("--out", type=output_folder, help=f"folder for {', '.join(SCORE_FILES)}")
    parser.add_argument(
        "--draws", type=at_least(100), default=2000, help="of --compare's bootstrap; default 2000"
    )
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the draws; default 0")
    args = parser.parse_args(argv)
    if (args.masks is None) == (args.compare is None):
        parser.error("give MASKS TRUTH, or --compare A B TRUTH")
    if args.compare and (args.legacy_batch or args.probability):
        parser.error("--legacy-batch and --probability are for one folder of masks")
    if args.legacy_batch and "avsbench" not in CHOICES[args.protocol]:
        parser.error("--legacy-batch is of the protocol avsbench")
    return args


def check_two_classes(args: argparse.Namespace, truth: Truth) -> None:
    """Refuse what is for object and background alone."""
    for option, given in (
        ("--legacy-batch", args.legacy_batch),
        ("--probability", args.probability),
        ("--encoding grey", args.encoding == "grey"),
    ):
        if given and len(truth.classes) > 2:
            raise UserError(
                f"{option} is for object and background, and the truth has {len(truth.classes)} "
                "classes; --classes binary merges them"
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Score or compare as the command line says."""
    args = parse_args(argv)
    if args.out is not None:
        for name in COMPARISON_FILES if args.compare else SCORE_FILES:
            check_file(args.out / name)
    rules = Rules(CHOICES[args.protocol], args.encoding, args.size, args.foreground_size)
    truth = find_truth(
        args.truth, layout=args.layout, index=args.index, split=args.split, classes=args.classes
    )
    check_two_classes(args, truth)
    console = tables.make_console()
    folders = args.compare or [args.masks]
    if truth.layout == "plain" and args.classes != "binary":
        for folder in folders:
            check_same_classes(folder, truth.root)
    methods = [score_set(truth, path, rules, probability=args.probability) for path in folders]
    for scored in methods:
        tables.show_problems(console, scored)
    tables.show_probabilities(console, methods)
    tables.show_published(console, methods[0], truth)
    written = (
        _show_comparison(console, args, methods, truth, rules)
        if args.compare
        else _show_scores(console, args, methods[0], truth, rules)
    )
    for path in written:
        print(path)
    return int(any(scored.problems for scored in methods))


def _show_scores(
    console: Console, args: argparse.Namespace, scored: Scored, truth: Truth, rules: Rules
) -> list[Path]:
    rows = summarise(scored.clips, rules.protocols, legacy_batch=args.legacy_batch)
    if args.per_clip:
        tables.show_clips(console, scored, rules.protocols)
    if args.per_class:
        tables.show_classes(console, rows, truth.classes)
    tables.show_scores(console, rows, rules)
    return [] if args.out is None else write_scores(args.out, scored, rows, truth, rules)


def _show_comparison(
    console: Console, args: argparse.Namespace, methods: list[Scored], truth: Truth, rules: Rules
) -> list[Path]:
    first, second = methods
    differences = compare(
        first.clips, second.clips, rules.protocols, draws=args.draws, seed=args.seed
    )
    tables.show_differences(console, differences, first, second)
    if args.out is None:
        return []
    return write_comparison(
        args.out,
        differences,
        (first, second),
        truth,
        rules,
        draws=args.draws,
        seed=args.seed,
    )
