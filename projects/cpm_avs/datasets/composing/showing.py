"""A set's numbers and what is wrong with it, on the screen."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..avs_dataset import SPLITS
from .counts import ClassCount
from .data_card import split_counts


def show_counts(title: object, counts: Mapping[str, ClassCount], too_little: Iterable[str]) -> None:
    """Print the numbers of each class by split, and a warning a line of ``too_little``."""
    console = Console()
    header = ("class", "", "photographs", "recordings")
    table = Table(*header, title=escape(f"{title}: {' / '.join(SPLITS)}"))
    for name, count in counts.items():
        table.add_row(name, count.role, split_counts(count.photos), split_counts(count.sounds))
    console.print(table)
    for line in too_little:
        console.print(f"[yellow]warning:[/] {escape(line)}", soft_wrap=True)


def show_kinds(title: str, kinds: Mapping[str, str], found: Sequence[tuple[str, str]]) -> None:
    """Print how often each kind was found, and the first of each.

    Args:
        title: Of the table.
        kinds: Kind -> what it is, in the order to print.
        found: Kind and description of each.
    """
    table = Table("", "number", title=escape(title))
    table.add_column("first one", overflow="fold")  # a path is of use as a whole only
    for kind, text in kinds.items():
        if of_kind := [what for key, what in found if key == kind]:
            table.add_row(text, str(len(of_kind)), escape(of_kind[0]))
    Console().print(table)
