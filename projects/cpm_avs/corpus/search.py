"""Where a class sounds: stretches of all videos, those in which it is largest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import duckdb

from ..errors import UserError
from .identity import classes_of
from .shards import shards_of

_STRETCHES = """
SELECT video, path, one.start, one.end, one.area, one.score
FROM (SELECT video, path, unnest(sounding) AS one FROM read_parquet($files))
WHERE one.name = $name
ORDER BY one.area DESC, video, one.start
LIMIT $most
"""

_LARGEST = """
SELECT time, label, segmentation
FROM read_parquet($files)
WHERE video = $video AND name = $name AND time >= $start AND time < $end
ORDER BY area DESC, time
LIMIT 1
"""


@dataclass(frozen=True)
class Hit:
    """A stretch in which a class sounds.

    Attributes:
        video: As the manifest names it.
        path: Its file.
        start: Second.
        end: Second.
        area: Mean share of the frame.
        score: Mean.
    """

    video: str
    path: str
    start: float
    end: float
    area: float
    score: float

    def __str__(self) -> str:
        return f"{self.video}  {self.start:.1f}-{self.end:.1f} s  {self.area:.1%} of the frame"


@dataclass(frozen=True)
class Largest:
    """The moment of a stretch at which its object is largest.

    Attributes:
        time: Second.
        label: Of the class.
        segmentation: COCO's run lengths.
    """

    time: float
    label: int
    segmentation: dict[str, Any]


class Search:
    """Questions to the tables of a corpus, also while it is still written.

    Args:
        folder: What ``corpus --out`` wrote.

    Raises:
        UserError: It has no result.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.classes = classes_of(folder)
        # Nothing is fetched: what reads Parquet is part of DuckDB.
        self._tables = duckdb.connect(config=dict(autoinstall_known_extensions=False))

    def hits(self, name: str, *, most: int) -> list[Hit]:
        """Stretches of a class, the largest first.

        Args:
            name: Of the class.
            most: How many.

        Raises:
            UserError: The model knows no such class.
        """
        known = self.classes[1:]
        if name not in known:
            near = get_close_matches(name, known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it knows {', '.join(known)}"
            raise UserError(f"the model of {self.folder} knows no class {name!r}; {hint}")
        rows = self._ask(_STRETCHES, "videos", name=name, most=most)
        return [Hit(*row) for row in rows]

    def largest(self, hit: Hit, name: str) -> Largest | None:
        """Its object where it is largest; None where a frame that is shown on was the only one."""
        rows = self._ask(
            _LARGEST, "masks", video=hit.video, name=name, start=hit.start, end=hit.end
        )
        return Largest(*rows[0]) if rows else None

    def _ask(self, question: str, table: str, **values: object) -> Sequence[Any]:
        files = [str(path) for path in shards_of(self.folder, table)]
        if not files:
            return []
        try:
            return self._tables.execute(question, dict(files=files, **values)).fetchall()
        except duckdb.Error as error:
            told = str(error).splitlines()[0]
            raise UserError(
                f"{self.folder}: its {table} can't be read ({told}); `corpus --out` with this "
                "folder says what to delete, and does that part again"
            ) from error
