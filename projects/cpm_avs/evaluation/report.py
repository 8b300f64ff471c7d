"""Tables and JSON of scores in which protocol and subset stand on every line."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from prettytable import PrettyTable

from ..files import write_whole


@dataclass(frozen=True)
class ScoreRow:
    """Scores of one subset under one protocol.

    Attributes:
        protocol: 'dataset' or 'avsbench'.
        subset: 'total' or the name of a subset.
        frames: Frames scored.
        clips: Different clips among them.
        scores: Name -> percent.
        per_class: Name -> percent per class, (C,), NaN where undefined; empty for binary sets.
    """

    protocol: str
    subset: str
    frames: int
    clips: int
    scores: dict[str, float]
    per_class: dict[str, np.ndarray] = field(default_factory=dict)


def score_table(rows: Sequence[ScoreRow]) -> str:
    """One line per protocol and subset."""
    names = list(dict.fromkeys(name for row in rows for name in row.scores))
    lines = (
        [row.protocol, row.subset, row.frames, row.clips, *_cells(row.scores, names)]
        for row in rows
    )
    return _table(["protocol", "subset", "frames", "clips", *names], lines)


def class_table(rows: Sequence[ScoreRow], classes: Sequence[str]) -> str:
    """One line per protocol, subset and class; background is a line like the others."""
    names = list(dict.fromkeys(name for row in rows for name in row.per_class))
    lines = (
        [
            row.protocol,
            row.subset,
            class_name,
            *_cells({name: values[index] for name, values in row.per_class.items()}, names),
        ]
        for row in rows
        if row.per_class
        for index, class_name in enumerate(classes)
    )
    return _table(["protocol", "subset", "class", *names], lines)


def write_json(
    path: Path, rows: Sequence[ScoreRow], classes: Sequence[str], audio: Sequence[str]
) -> None:
    """Write every score unrounded, in percent; undefined class scores are null.

    Args:
        path: File to (over)write.
        rows: What was scored.
        classes: Names of the C classes.
        audio: Conditions of the sound, e.g. ['normal'] or ['silence'].
    """
    report = dict(unit="percent", audio=list(audio), results=as_json(rows, classes))
    write_whole(path, json.dumps(report, indent=1))


def as_json(rows: Sequence[ScoreRow], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Rows as JSON has them: unrounded, in percent, undefined scores of classes as None."""
    return [
        dict(
            protocol=row.protocol,
            subset=row.subset,
            frames=row.frames,
            clips=row.clips,
            scores=row.scores,
            per_class={
                class_name: {name: _json(values[i]) for name, values in row.per_class.items()}
                for i, class_name in enumerate(classes)
                if row.per_class
            },
        )
        for row in rows
    ]


def _table(header: list[str], lines: Iterable[list]) -> str:
    table = PrettyTable(header)
    table.align = "r"
    for column in header[:3]:
        table.align[column] = "l"
    table.add_rows(list(lines))
    return str(table.get_string())


def _cells(values: Mapping[str, float], names: Sequence[str]) -> list[str]:
    return ["-" if math.isnan(v := values.get(n, math.nan)) else f"{v:.2f}" for n in names]


def _json(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
