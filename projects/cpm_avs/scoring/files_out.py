"""Scores as files: one JSON with everything, and tables for a spreadsheet."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..evaluation.report import ScoreRow, as_json
from ..files import write_whole
from .comparison import LEVEL, Difference
from .frames import KINDS, Rules
from .summary import clip_scores
from .truth import Truth
from .whole_set import Scored

#: What ``--out`` makes of one folder of masks.
SCORE_FILES = ("scores.json", "scores.csv", "classes.csv", "clips.csv", "problems.csv")
#: What it makes of two.
COMPARISON_FILES = ("comparison.json", "comparison.csv")


def write_scores(
    folder: Path, scored: Scored, rows: Sequence[ScoreRow], truth: Truth, rules: Rules
) -> list[Path]:
    """Write ``SCORE_FILES``; every score is unrounded, in percent.

    Returns:
        The files.
    """
    clips: list[dict[str, Any]] = [
        dict(clip=clip.name, subsets=sorted(clip.groups), frames=clip.frames)
        | dict(scores=_finite(clip_scores(clip, rules.protocols)))
        for clip in scored.clips
    ]
    problems = [asdict(problem) for problem in scored.problems]
    report = dict(
        unit="percent",
        **_about(scored, truth, rules),
        results=as_json(rows, truth.classes),
        clips=clips,
        problems=problems,
        extra_files=[str(path) for path in scored.extra],
    )
    names = list(dict.fromkeys(name for clip in clips for name in clip["scores"]))
    tables: dict[str, Iterable[Sequence[Any]]] = {
        "scores.csv": [
            ("protocol", "subset", "frames", "clips", "score", "percent"),
            *(
                (row.protocol, row.subset, row.frames, row.clips, name, value)
                for row in rows
                for name, value in row.scores.items()
            ),
        ],
        "classes.csv": [
            ("protocol", "subset", "class", "score", "percent"),
            *(
                (row.protocol, row.subset, truth.classes[index], name, _cell(value))
                for row in rows
                for name, values in row.per_class.items()
                for index, value in enumerate(values)
            ),
        ],
        "clips.csv": [
            ("clip", "subsets", "frames", *names),
            *(
                (clip["clip"], " ".join(clip["subsets"]), clip["frames"])
                + tuple(_cell(clip["scores"].get(name)) for name in names)
                for clip in clips
            ),
        ],
        "problems.csv": [
            ("kind", "path", "reason"),
            *((problem["kind"], problem["path"], problem["reason"]) for problem in problems),
            *(("extra", scored.folder / path, "it belongs to no frame") for path in scored.extra),
        ],
    }
    return _write(folder, {"scores.json": report}, tables)


def write_comparison(
    folder: Path,
    differences: Sequence[Difference],
    methods: tuple[Scored, Scored],
    truth: Truth,
    rules: Rules,
    *,
    draws: int,
    seed: int,
) -> list[Path]:
    """Write ``COMPARISON_FILES``.

    Returns:
        The files.
    """
    lines = [
        dict(
            protocol=one.protocol,
            subset=one.subset,
            score=one.score,
            clips=one.clips,
            A=one.first,
            B=one.second,
            difference=one.difference,
            low=one.low,
            high=one.high,
        )
        for one in differences
    ]
    interval = dict(level=LEVEL, method="percentile bootstrap over clips", draws=draws, seed=seed)
    report = dict(
        unit="percent",
        interval=interval,
        A=_about(methods[0], truth, rules),
        B=_about(methods[1], truth, rules),
        differences=lines,
    )
    table = [tuple(lines[0]), *(tuple(line.values()) for line in lines)]
    return _write(folder, {"comparison.json": report}, {"comparison.csv": table})


def _about(scored: Scored, truth: Truth, rules: Rules) -> dict[str, Any]:
    """What was scored, and how."""
    counted = {kind: sum(one.kind == kind for one in scored.problems) for kind in KINDS}
    return dict(
        predictions=str(scored.folder),
        probability=None if scored.probability is None else str(scored.probability),
        truth=str(truth.root),
        layout=truth.layout,
        split=truth.split or None,
        classes=list(truth.classes),
        encoding=rules.encoding,
        size=rules.size,
        foreground_size=rules.foreground_size,
        frames=scored.frames,
        frames_without_mask=counted,
        other_files=len(scored.listing.others),
        hidden_files=len(scored.listing.hidden),
    )


def _write(
    folder: Path, reports: Mapping[str, Any], tables: Mapping[str, Iterable[Sequence[Any]]]
) -> list[Path]:
    for name, report in reports.items():
        write_whole(folder / name, json.dumps(report, indent=1) + "\n")
    for name, lines in tables.items():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        write_whole(folder / name, text.getvalue())
    return [folder / name for name in (*reports, *tables)]


def _finite(scores: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in scores.items()}


def _cell(value: float | None) -> Any:
    """An empty cell where a score is undefined."""
    return "" if value is None or math.isnan(value) else value
