"""Say which videos of a corpus have a class sounding, and when; those where it is largest first.

Example: cpm-avs corpus-search results dog --sheet dogs.jpg
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..files import whole_file
from ..launch import FIGURES, at_least, output_file


def main(args: Sequence[str] | None = None) -> int:
    """Print a line a stretch; 1 if there is none."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=__doc__.splitlines()[-1]
    )
    parser.add_argument("folder", type=Path, help="that `cpm-avs corpus --out` wrote")
    parser.add_argument("name", help="of the class, such as dog")
    parser.add_argument("--most", type=at_least(1), default=20, help="stretches (default: 20)")
    parser.add_argument(
        "--sheet", type=output_file(*FIGURES), help="a picture of each where it is largest"
    )
    options = parser.parse_args(args)
    from ..corpus.hit_sheet import hit_sheet  # the help is there without what only a corpus needs
    from ..corpus.search import Search

    search = Search(options.folder)
    hits = search.hits(options.name, most=options.most)
    for hit in hits:
        print(hit)
    if not hits:
        print(f"no {options.name} sounds in {options.folder}")
        return 1
    if options.sheet is not None:
        with whole_file(options.sheet) as part:
            hit_sheet(search, options.name, hits).savefig(part, dpi=120)
        print(f"sheet: {options.sheet}")
    return 0
