"""What one run of the ablation came to, and the files that keep it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..files import write_whole

#: Points (iteration, value) in order.
Curve = list[tuple[int, float]]


@dataclass
class RunRecord:
    """One training and its tests.

    Attributes:
        row: Row of the table.
        seed: Of the training.
        scores: Measure -> value at the end.
        curves: ``'mIoU'``, ``'coverage'`` on validation scenes, ``'STS'`` in training; the last two
            are empty of a model without queries.
    """

    row: str
    seed: int
    scores: dict[str, float]
    curves: dict[str, Curve] = field(default_factory=dict)


def recorded(out: Path) -> list[RunRecord]:
    """The runs of an earlier report."""
    path = named(out, "_runs.json")
    if not path.is_file():
        return []
    try:
        return [RunRecord(**fields) for fields in json.loads(path.read_text())]
    except (json.JSONDecodeError, TypeError) as error:
        raise SystemExit(
            f"error: {path} is no report of this tool ({error}); give another --out"
        ) from error


def write_runs(records: Sequence[RunRecord], out: Path) -> None:
    """The runs themselves, one a line."""
    runs = [json.dumps(asdict(record)) for record in records]
    write_whole(named(out, "_runs.json"), "[\n" + ",\n".join(runs) + "\n]\n")


def named(out: Path, ending: str) -> Path:
    """One of the report's files; a dot in its name begins no suffix."""
    return out.with_name(out.name + ending)
