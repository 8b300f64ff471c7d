"""The tables on the disk: shards that are whole or not there, each piece in them once.

A shard of ``pieces`` is what counts: its masks are written before it and videos that it completes
after it, under the same number, so that a kill at any moment leaves nothing half done that
``Shards`` would not see.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import UserError
from ..files import whole_file
from ..inference.timeline import Run
from ..work_folder import claim
from .manifest import Video
from .pieces import Finding, Piece
from .schemas import MASKS, PIECES, VIDEOS

TABLES = dict(masks=MASKS, videos=VIDEOS, pieces=PIECES)


class Shards:
    """The tables of a corpus, for the one process that writes them.

    Args:
        folder: Where they lie; what a kill left half done in it is taken away.

    Raises:
        UserError: Another process writes them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        claim(folder, does="works in this folder", option="--out")
        for table in TABLES:
            (folder / table).mkdir(exist_ok=True)
            for part in (folder / table).glob(".part-*.parquet"):
                part.unlink()
        for path in shards_of(folder, "masks"):
            if not (folder / "pieces" / path.name).exists():
                path.unlink()
        numbers = [int(path.stem) for table in TABLES for path in shards_of(folder, table)]
        self._next = max(numbers, default=-1) + 1

    def findings(self) -> Iterator[Finding]:
        """What was written of each piece, without its masks."""
        for path in shards_of(self.folder, "pieces"):
            for row in _read(path).to_pylist():
                yield _finding(row)

    def videos(self) -> Iterator[str]:
        """Names of the videos whose report was written."""
        for path in shards_of(self.folder, "videos"):
            yield from _read(path, ["video"])["video"].to_pylist()

    def write(self, findings: Sequence[Finding], videos: Sequence[dict[str, Any]]) -> None:
        """A shard of each table.

        Args:
            findings: Of pieces that are not there yet.
            videos: Rows of the videos that are complete with them.
        """
        name = f"{self._next:06d}.parquet"
        self._next += 1
        if findings:
            self._write_findings(name, findings)
        if videos:
            _write(self.folder / "videos" / name, pa.Table.from_pylist([*videos], VIDEOS))

    def _write_findings(self, name: str, findings: Sequence[Finding]) -> None:
        masks = [one.masks for one in findings if one.masks is not None]
        path = self.folder / "masks" / name
        pieces = self.folder / "pieces" / name
        try:
            _write(path, pa.concat_tables(masks) if masks else MASKS.empty_table())
            _write(pieces, pa.Table.from_pylist([_row(one) for one in findings], PIECES))
        except BaseException:
            if not pieces.exists():
                path.unlink(missing_ok=True)
            raise

    def forget(self, videos: Collection[str]) -> None:
        """Take out all that was written of some videos, last what says that it is there."""
        names = pa.array(list(videos), pa.string())
        holding = [
            path.name
            for path in shards_of(self.folder, "pieces")
            if pc.any(pc.is_in(_read(path, ["video"])["video"], names)).as_py()
        ]
        for table in TABLES:
            for path in shards_of(self.folder, table):
                if table == "masks" and path.name not in holding:  # the largest by far
                    continue
                content = _read(path)
                kept = content.filter(pc.invert(pc.is_in(content["video"], names)))
                if len(kept) < len(content):
                    _write(path, kept)


def shards_of(folder: Path, table: str) -> list[Path]:
    """Files of a table in the order in which they were written."""
    paths = (folder / table).glob("[0-9]*.parquet")
    return sorted(path for path in paths if path.stem.isdecimal())


def _read(path: Path, columns: Iterable[str] | None = None) -> pa.Table:
    try:
        return pq.ParquetFile(path).read(columns)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(
            f"{path}: is damaged ({error}); delete it and those of its name in the folders beside "
            "it, and what they held is done again"
        ) from error


def _write(path: Path, table: pa.Table) -> None:
    """On the disk before the next one is begun, whatever happens to the machine."""
    with whole_file(path) as part:
        pq.write_table(table, part, compression="zstd")
        _sync(part)
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _row(finding: Finding) -> dict[str, Any]:
    piece, video = finding.piece, finding.piece.video
    return dict(
        video=video.name,
        path=video.path,
        size=video.size,
        modified=video.modified,
        index=piece.index,
        count=piece.count,
        start=piece.start,
        end=piece.end,
        duration=finding.duration,
        frames=finding.frames,
        first_shown=finding.first_shown,
        runs=[asdict(run) for run in finding.runs],
        error=finding.error,
    )


def _finding(row: dict[str, Any]) -> Finding:
    video = Video(row["video"], row["path"], row["size"], row["modified"])
    piece = Piece(video, row["index"], row["count"], row["start"], row["end"])
    return Finding(
        piece=piece,
        duration=row["duration"],
        frames=row["frames"],
        first_shown=row["first_shown"],
        runs=[Run(**run) for run in row["runs"]],
        error=row["error"],
    )
