"""What an index file of a benchmark says: clips, their frames and their sounds.

The readers in ``avsbench`` and ``vpo`` turn CSV rows into ``Clip`` records without touching the
media; the data sets and ``tools/prepare_data.py check`` both start from these records.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import BadSampleError
from ...files import whole_file
from ..names import fault_of_name

#: Column that ``prepare_data.py check --fix-index`` adds: frames to leave out, separated by blanks.
SKIP_COLUMN = "skip_frames"


@dataclass(frozen=True)
class Column:
    """A column: under one of its names (any case), or at its place in a headless file.

    Attributes:
        in_paths: Whether its cells become parts of paths.
    """

    names: tuple[str, ...]
    position: int | None = None
    in_paths: bool = False


@dataclass(frozen=True)
class Row:
    """One row of an index.

    Attributes:
        line: Its line, from 1.
        cells: The row as it stands.
        skipped_frames: Frames that a repaired index leaves out.
        fault: Which of its names would lead out of the data set's folder; empty where none does.
    """

    line: int
    values: Mapping[str, str]
    cells: tuple[str, ...]
    skipped_frames: frozenset[int] = frozenset()
    fault: str = ""


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
        classes: Names of what sounds in it, where the index says so of each sound.
    """

    path: str
    position: float | None = None
    stereo_path: str | None = None
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clip:
    """A video clip with its frames, or one image with its sounds.

    Attributes:
        subset: Part of the benchmark ('v1s', 'vpo-ms', ...).
        seconds: How long a sound must be for all windows to lie inside.
        source: 'ss' with one kind of sounding object, 'ms' with several; None if not stated.
        classes: Names of the sounding classes as the index has them.
        rows: The rows of the index that make up the clip.
        fault: What makes its rows useless; empty where nothing does.
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
    fault: str = ""


def read_table(path: str | Path, columns: Mapping[str, Column]) -> Table:
    """Read the named columns of a CSV file.

    Args:
        path: CSV file, UTF-8 with or without byte-order mark. Its first row is a header if it
            holds the name of any wanted column; then all of them must be named.
        columns: What each wanted column may be called, and where it stands without a header.

    Raises:
        BadSampleError: The file is no CSV file or empty, or a column or a cell is missing.
    """
    lines = _read_lines(path)
    first = lines[0][1]
    named = _has_column(first, *columns.values())
    positions = {key: _locate(path, column, first, named) for key, column in columns.items()}
    skip_at = None
    if named:
        del lines[0]
        header = first
        skip_at = header.index(SKIP_COLUMN) if SKIP_COLUMN in header else None
    else:
        names = {at: columns[key].names[0] for key, at in positions.items()}
        header = tuple(names.get(at, f"column_{at}") for at in range(len(first)))

    needed = max(*positions.values(), -1 if skip_at is None else skip_at) + 1
    rows = []
    for line, cells in lines:
        if len(cells) < needed:
            raise BadSampleError(
                f"{path}, line {line}",
                f"{len(cells)} cells, but {needed} are needed",
                "Repair the row or delete it",
            )
        skipped = () if skip_at is None else _frame_numbers(f"{path}, line {line}", cells[skip_at])
        values = {key: cells[at] for key, at in positions.items()}
        faults = [fault_of_name(values[key]) for key in values if columns[key].in_paths]
        fault = next(filter(None, faults), "")
        rows.append(Row(line, values, cells, frozenset(skipped), fault))
    return Table(header, tuple(rows))


def has_column(path: str | Path, column: Column) -> bool:
    """Whether the first row of an index names the column."""
    return _has_column(_read_lines(path)[0][1], column)


def _read_lines(path: str | Path) -> list[tuple[int, tuple[str, ...]]]:
    """Number and stripped cells of every line that isn't blank; there is at least one."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True)
            lines = [(reader.line_num, tuple(cell.strip() for cell in row)) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadSampleError(
            path, f"the index can't be read ({error})", "Save it as CSV in UTF-8"
        ) from error
    lines = [(line, cells) for line, cells in lines if any(cells)]
    if not lines:
        raise BadSampleError(path, "the index is empty", "Download it again")
    first = lines[0][1]
    for name, mark in (("semicolons", ";"), ("tabs", "\t")):
        if len(first) == 1 and mark in first[0]:  # as spreadsheets of some countries save it
            raise BadSampleError(
                path, f"the index is separated by {name}", "Save it as CSV with commas"
            )
    return lines


def _has_column(header: Sequence[str], *columns: Column) -> bool:
    cells = {cell.lower() for cell in header}
    return any(name.lower() in cells for column in columns for name in column.names)


def _locate(path: str | Path, column: Column, header: Sequence[str], named: bool) -> int:
    if not named and column.position is not None:
        return column.position
    cells = [cell.lower() for cell in header]
    for name in column.names:
        if name.lower() in cells:
            return cells.index(name.lower())
    raise BadSampleError(
        path,
        f"no column {' or '.join(column.names)} in its first row {list(header)}",
        "Is this the index of another data set?",
    )


def _frame_numbers(where: str, cell: str) -> list[int]:
    numbers = cell.split()
    if not all(number.isdecimal() for number in numbers):
        raise BadSampleError(
            where,
            f"{SKIP_COLUMN} holds {cell!r}",
            "Separate the numbers of the frames by blanks, or write the index anew with "
            "tools/prepare_data.py check --fix-index",
        )
    return list(map(int, numbers))


def write_table(path: str | Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write an index that ``read_table`` reads."""
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
