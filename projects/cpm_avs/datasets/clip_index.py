"""What an index file of a benchmark says: clips, their frames and their sounds.

The readers in ``avsbench`` and ``vpo`` turn CSV rows into ``Clip`` records without touching the
media; the data sets and ``tools/prepare_data.py check`` both start from these records.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "val", "test")
#: Column that ``prepare_data.py check --fix-index`` adds: frames to leave out, separated by blanks.
SKIP_COLUMN = "skip_frames"


@dataclass(frozen=True)
class Column:
    """Where to find a column: by one of its header names (any case), else by its position."""

    names: tuple[str, ...]
    position: int | None = None


@dataclass(frozen=True)
class Row:
    """One row of an index; ``line`` counts from 1, ``cells`` are the row as it stands."""

    line: int
    values: Mapping[str, str]
    cells: tuple[str, ...]

    @property
    def skipped_frames(self) -> set[int]:
        """Frames that a repaired index leaves out."""
        return {int(index) for index in self.values.get(SKIP_COLUMN, "").split()}


@dataclass(frozen=True)
class Table:
    """An index file: its header (made up from the wanted columns where it has none) and rows."""

    header: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Frame:
    """One frame of a clip; ``audio_start`` is the second at which its sound begins."""

    index: int
    img_path: str
    seg_map_path: str | None
    audio_start: float = 0.0


@dataclass(frozen=True)
class Sound:
    """A sound of a clip.

    Attributes:
        position: Place of a mono sound between left (0) and right (1); None: not to be placed.
        stereo_path: File to read instead where two channels are wanted.
    """

    path: str
    position: float | None = None
    stereo_path: str | None = None


@dataclass(frozen=True)
class Clip:
    """A video clip with its frames, or one image with its sounds.

    Attributes:
        subset: Part of the benchmark ('v1s', 'vpo-ms', ...).
        seconds: How long a sound must be for all windows to lie inside.
        source: 'ss' with one kind of sounding object, 'ms' with several; None if not stated.
        classes: Names of the sounding classes as the index has them.
        rows: The rows of the index that make up the clip.
    """

    clip_id: str
    split: str
    subset: str
    frames: tuple[Frame, ...]
    sounds: tuple[Sound, ...]
    seconds: float
    source: str | None = None
    classes: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()


def read_table(path: str | Path, columns: Mapping[str, Column]) -> Table:
    """Read the named columns of a CSV file.

    Args:
        path: CSV file, UTF-8 with or without byte-order mark. Its first row is a header if it
            holds the name of any wanted column.
        columns: What each wanted column may be called, and where it stands if it is not named.

    Raises:
        ValueError: The file is empty, or a column or a cell is missing.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, skipinitialspace=True)
        lines = [(reader.line_num, tuple(cell.strip() for cell in row)) for row in reader]
    lines = [(line, cells) for line, cells in lines if any(cells)]
    if not lines:
        raise ValueError(f"{path}: the index is empty. Download it again.")

    first = lines[0][1]
    named = has_column(first, *columns.values())
    positions = {key: _locate(path, column, first, named) for key, column in columns.items()}
    if named:
        del lines[0]
        header = first
        if SKIP_COLUMN in header:
            positions[SKIP_COLUMN] = header.index(SKIP_COLUMN)
    else:
        names = {at: columns[key].names[0] for key, at in positions.items()}
        header = tuple(names.get(at, f"column_{at}") for at in range(len(first)))

    rows = []
    for line, cells in lines:
        if len(cells) <= max(positions.values()):
            raise ValueError(
                f"{path}, line {line}: {len(cells)} cells, but {max(positions.values()) + 1} are "
                "needed. Repair the row or delete it."
            )
        rows.append(Row(line, {key: cells[at] for key, at in positions.items()}, cells))
    return Table(header, tuple(rows))


def has_column(header: Sequence[str], *columns: Column) -> bool:
    """Whether a first row names any of the columns."""
    cells = {cell.lower() for cell in header}
    return any(name.lower() in cells for column in columns for name in column.names)


def _locate(path: str | Path, column: Column, header: Sequence[str], named: bool) -> int:
    cells = [cell.lower() for cell in header]
    if named:
        for name in column.names:
            if name.lower() in cells:
                return cells.index(name.lower())
    if column.position is None:
        raise ValueError(
            f"{path}: no column {' or '.join(column.names)} in its first row {list(header)}. "
            "Is this the index of another data set?"
        )
    return column.position


def write_table(path: str | Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write an index that ``read_table`` reads."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
