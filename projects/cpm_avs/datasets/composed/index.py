"""index.csv of a set that scenes are composed from: photographs with masks, and recordings.

Columns: ``kind`` (photo or sound), ``class``, ``split`` (train, val or test; empty: all of them),
``file``, ``mask``, ``source``, ``licence``; files are named from the index's folder. A mask is a
PNG of one channel that numbers the instances of the photograph's own class from 1; 0 is the rest.
A photograph without a mask is a cut-out, whose opacity is in its fourth channel.
"""

import csv
import io
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from ...errors import BadSampleError, looked_for
from ...files import write_whole
from ..avs_dataset import SPLITS
from ..names import fault_of_name

KINDS = ("photo", "sound")
COLUMNS = ("kind", "class", "split", "file", "mask", "source", "licence")
_NEEDED = ("kind", "class", "split", "file", "mask")


@dataclass(frozen=True)
class Item:
    """A photograph or a recording.

    Attributes:
        kind: ``'photo'`` or ``'sound'``.
        class_name: What it shows, or what is heard.
        split: ``'train'``, ``'val'``, ``'test'``, or empty for all of them.
        file: Path of the picture or the sound.
        mask: Path of the photograph's mask; None for a cut-out and for a sound.
        source: Where it comes from.
        licence: As its source states it.
    """

    kind: str
    class_name: str
    split: str
    file: str
    mask: str | None = None
    source: str = ""
    licence: str = ""


def read_index(root: Path, remedy: str) -> list[Item]:
    """All items, in the order of the file.

    Args:
        root: The folder that holds index.csv.
        remedy: What an error tells the user to do.

    Raises:
        BadSampleError: The file is missing or has no such columns, or a row does not fit them or
            names a file that is not below the folder.
    """
    path = root / "index.csv"
    if not path.is_file():
        reason = f"there is no such index of photographs and recordings{looked_for(path)}"
        raise BadSampleError(path, reason, remedy)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # Excel begins with a mark
            reader = csv.DictReader(file)
            missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise BadSampleError(path, f"it lacks the columns {', '.join(missing)}", remedy)
            return [_item(root, path, reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadSampleError(path, f"it can't be read ({error})", remedy) from error


def write_index(root: Path, items: Iterable[Item], path: Path | None = None) -> None:
    """Write the index of a folder that holds all files of the items; None: as its index.csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in items:
        file = Path(one.file).relative_to(root).as_posix()
        mask = Path(one.mask).relative_to(root).as_posix() if one.mask else ""
        writer.writerow([one.kind, one.class_name, one.split, file, mask, one.source, one.licence])
    write_whole(path or root / "index.csv", text.getvalue())


def _item(root: Path, index: Path, line: int, row: dict[str, str | None]) -> Item:
    values = {name: (row.get(name) or "").strip() for name in COLUMNS}
    kind, split = values["kind"], values["split"]
    if kind not in KINDS or split not in ("", *SPLITS) or not values["class"] or not values["file"]:
        raise BadSampleError(
            index,
            f"line {line}: kind {kind!r}, class {values['class']!r}, split {split!r}, "
            f"file {values['file']!r}",
            f"kind is one of {', '.join(KINDS)}, split of {', '.join(SPLITS)} or empty; class and "
            "file have to be named",
        )
    for name in (values["file"], values["mask"] or values["file"]):
        if fault := fault_of_name(name):
            raise BadSampleError(index, f"line {line}: {fault}", "Name files from its own folder")
    return Item(
        kind=kind,
        class_name=values["class"],
        split=split,
        file=str(root / values["file"]),
        mask=str(root / values["mask"]) if values["mask"] else None,
        source=values["source"],
        licence=values["licence"],
    )


def choose(
    items: Iterable[Item],
    split: str,
    leave_out: Collection[str] = (),
    classes: Collection[str] = (),
) -> list[Item]:
    """Items of a split, without those whose source or file (the end of its path) is left out.

    Where classes are named, of these alone.
    """
    left_out = tuple(f"/{name}" for name in leave_out)

    def is_wanted(item: Item) -> bool:
        named = not classes or item.class_name in classes
        return named and item.source not in leave_out and not f"/{item.file}".endswith(left_out)

    return [item for item in items if item.split in ("", split) and is_wanted(item)]
