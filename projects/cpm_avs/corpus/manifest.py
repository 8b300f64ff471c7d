"""A manifest, which is a list, a table or a folder, into videos that can be told apart."""

import csv
import hashlib
import mimetypes
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UserError
from ..media.kinds import visible

COLUMNS = ("video", "path", "file")  # of a table, the first that it has
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_LISTS = ("", ".txt", ".lst", ".list")
_GIVE = "give a .txt, .csv, .tsv, .parquet or folder"
_ASKING = 16  # files at a time: of a network's file system each answer takes its time


class Video(NamedTuple):
    """One line of a manifest.

    Attributes:
        name: As the manifest says it, by which results name it; in a folder, from there on.
        path: The file.
        size: Bytes; -1 of a file that is not there.
        modified: When it was last, nanoseconds.
    """

    name: str
    path: str
    size: int
    modified: int

    @property
    def key(self) -> int:
        """Of 64 bits, the same as long as the file is."""
        return video_key(self.name, self.size, self.modified)


def video_key(name: str, size: int, modified: int) -> int:
    """See ``Video.key``."""
    content = f"{name}\0{size}\0{modified}".encode(errors="surrogateescape")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def read_manifest(path: str | Path) -> list[Video]:
    """Videos in the manifest's order; one that stands there twice counts once.

    Args:
        path: A .txt with a path a line (empty lines and those that begin with # are passed over), a
            .csv, .tsv or .parquet with a column ``video``, ``path`` or ``file``, or a folder, whose
            videos count, those in its folders, too. Paths begin at the manifest's folder.

    Raises:
        UserError: It can't be read, names no video, or is none of these.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: there is no such manifest; {_GIVE}")
    root = path if path.is_dir() else path.parent
    try:
        names = list(dict.fromkeys(_names(path)))
    except (UnicodeDecodeError, csv.Error, pa.ArrowInvalid) as error:
        kind = path.suffix[1:] or "text"
        raise UserError(f"{path}: is no {kind} file that can be read ({error})") from error
    if odd := [name for name in names if not _is_text(name)]:
        raise UserError(f"{path}: the name {odd[0]!r} is no UTF-8, as tables need it; rename it")
    if not names:
        raise UserError(f"{path}: names no video; give one path a line, or a folder with videos")
    with ThreadPoolExecutor(_ASKING) as pool:
        return list(pool.map(partial(_look_at, root.absolute()), names, chunksize=256))


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _look_at(root: Path, name: str) -> Video:
    path = os.path.join(root, name)
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # whoever opens it says what is wrong
        return Video(name, path, -1, 0)
    return Video(name, path, status.st_size, status.st_mtime_ns)


def _names(path: Path) -> Iterable[str]:
    if path.is_dir():
        return sorted(_videos_under(path))
    kind = path.suffix.lower()
    if kind in _LISTS:
        lines = (line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines())
        return (line for line in lines if line and not line.startswith("#"))
    if kind in _SEPARATORS:
        return _column_of_text(path, _SEPARATORS[kind])
    if kind != ".parquet":
        raise UserError(f"{path}: {kind} is no manifest; {_GIVE}")
    column = _column(path, pq.read_schema(path).names)
    values = pq.read_table(path, columns=[column])[column].to_pylist()
    return [_text(path, row, value) for row, value in enumerate(values, start=1)]


def _videos_under(folder: Path) -> Iterator[str]:
    """By their names: to ask a decoder would take as long as the work."""
    for place, folders, files in os.walk(folder):
        folders[:] = [path.name for path in visible(map(Path, folders))]
        for path in visible(map(Path, files)):
            if (mimetypes.guess_type(path.name)[0] or "").startswith("video/"):
                yield os.path.relpath(os.path.join(place, path.name), folder)


def _column_of_text(path: Path, separator: str) -> list[str]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file, strict=True, delimiter=separator)
        column = _column(path, list(rows.fieldnames or ()))
        return [_text(path, rows.line_num, row[column]) for row in rows]


def _column(path: Path, names: list[str]) -> str:
    found = [name for name in COLUMNS if name in names]
    if not found:
        has = ", ".join(names) or "none"
        raise UserError(f"{path}: has no column {', '.join(COLUMNS)}; its columns are {has}")
    return found[0]


def _text(path: Path, row: int, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise UserError(f"{path}: row {row} names no video ({value!r}); give each row a path")
    return value
