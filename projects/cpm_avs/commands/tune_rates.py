"""Train rows of an ablation with several learning rates, and compare them on validation scenes.

    cpm-avs tune-rates --data methods --out docs/methods

Each row keeps its own loss and schedule; a second optimiser keeps its share of the rate. A training
that is finished is not run again, and one that was interrupted goes on where it stopped. Written is
OUT_rates.json, row -> rate -> mIoU after the last iteration, which `cpm-avs ablation --out OUT`
shows. The rates that were chosen belong in the configs.
"""

import argparse
import os
from collections.abc import Sequence

from ..ablation.rates import TriedRates, rates_markdown, read_rates, try_rate, write_rates
from ..ablation.records import named
from ..ablation.runs import Tools
from ..launch import at_least, output_file, output_folder
from .ablation import add_rows, chosen_study


def rate(text: str) -> str:
    """A type for argparse: a positive number, as it was written."""
    if not float(text) > 0:
        raise argparse.ArgumentTypeError(f"{text} is no rate; give one above 0")
    return text


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing and write what it came to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_rows(parser, data="methods")
    parser.add_argument(
        "--rates",
        nargs="+",
        type=rate,
        default=["2e-4", "6e-4", "1.8e-3"],
        help="the same for every row (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=at_least(0), default=9, help="none of the table's (default: %(default)s)"
    )
    parser.add_argument(
        "--work-dir", type=output_folder, default="work_dirs/rates", help="default: %(default)s"
    )
    parser.add_argument("--out", type=output_file(), required=True, help="without suffix")
    args = parser.parse_args(arguments)
    study = chosen_study(parser, args)
    work_dir = args.work_dir.resolve()  # the tools run in another folder
    tried = read_rates(args.out) or TriedRates(args.seed)
    if tried.seed != args.seed:
        parser.error(
            f"argument --seed: {named(args.out, '_rates.json')} is of seed {tried.seed}; give that "
            "one, or another --out"
        )
    with Tools(os.cpu_count() or 1) as tools:
        for row in args.rows:
            for one in args.rates:
                score = try_rate(study, row, one, args.seed, work_dir, tools)
                tried.mIoU.setdefault(row, {})[one] = score
                write_rates(tried, args.out)
    print(rates_markdown(tried))
