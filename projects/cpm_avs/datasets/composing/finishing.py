"""What stands in a set's folder beside its photographs and recordings."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from ...files import write_whole
from ..composed.index import Item, write_index
from ..picture_writing import write_picture
from .candidate import LeftOut
from .contact_sheet import contact_sheet
from .counts import ClassCount
from .data_card import Making, data_card

SHEETS = "sheets"


def finish(
    root: Path,
    items: Sequence[Item],
    counts: dict[str, ClassCount],
    left_out: Sequence[LeftOut],
    too_little: Sequence[str],
    making: Making,
) -> None:
    """Write index.csv, left_out.csv, the sheets and README.md, the data card."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("file", "class", "reason", "detail"))
    writer.writerows((one.path, one.class_name, one.reason, one.detail) for one in left_out)
    write_whole(root / "left_out.csv", table.getvalue())
    for name in track(counts, "Drawing sheets", console=Console(stderr=True)):
        of_class = [one for one in items if one.class_name == name]
        write_picture(root / SHEETS / f"{name}.jpg", contact_sheet(name, of_class))
    write_whole(root / "README.md", data_card(making, items, counts, left_out, too_little))
    write_index(root, items)  # last: with it the set is whole


def remove_unlisted(root: Path, made: Iterable[str], items: Sequence[Item]) -> None:
    """Remove files of this run and the one before that are not in the set, and halves of a kill's.

    Args:
        root: The set's folder.
        made: All files of both runs.
        items: What is in the set.
    """
    unlisted = [Path(path) for path in {*made} - files_of(items)]
    sheets = {f"{one.class_name}.jpg" for one in items}
    unlisted += [path for path in (root / SHEETS).glob("*.jpg") if path.name not in sheets]
    unlisted += [*root.rglob(".part-*")]
    for path in unlisted:
        path.unlink(missing_ok=True)


def files_of(items: Iterable[Item]) -> set[str]:
    """Paths of all photographs, masks and recordings."""
    return {path for one in items for path in (one.file, one.mask) if path is not None}
