"""What the rows cost, as ``tools/benchmark.py`` has measured it."""

import json
from pathlib import Path
from typing import Any

from .records import named
from .rows import Study

#: Endings of the files that the benchmark's commands write with ``--json``.
TRAIN, PREDICT = "_train.json", "_predict.json"
_BASELINE = "baseline"  # the row
TITLES = (
    "row",
    "parameters, million",
    "training step, ms",
    "to the baseline's",
    "frames/s",
    "to the baseline's",
)


def costs_markdown(study: Study, out: Path) -> str:
    """A section with parameters and times of the rows; no text before both files are there.

    Times are CPU time, which other work on the machine hardly changes.
    """
    files = [named(out, ending) for ending in (TRAIN, PREDICT)]
    if not all(path.is_file() for path in files):
        return ""
    train, predict = (json.loads(path.read_text()) for path in files)
    steps, frames = _by_row(study, train), _by_row(study, predict)
    machine, batch = train["machine"], train["rows"][0]["batch"]
    lines = [
        "\n## Cost\n",
        f"`tools/benchmark.py` in CPU time: {machine['device']}, {machine['threads']} thread(s),",
        f"{batch} scenes a step. Parameters are those of prediction.\n",
        f"| {' | '.join(TITLES)} |",
        f"|{'---|' * len(TITLES)}",
    ]
    for row in study.configs:
        if row not in steps or row not in frames:
            continue
        step, frame = steps[row], frames[row]
        cells = [
            f"{frame['parameters_m']:.2f}",
            f"{step['cpu_ms']:.0f}",
            f"{step['cpu_ratio'] / steps[_BASELINE]['cpu_ratio']:.2f}",
            f"{1000 * frame['batch'] / frame['cpu_ms']:.0f}",
            f"{frames[_BASELINE]['cpu_ratio'] / frame['cpu_ratio']:.2f}",
        ]
        lines.append(f"| `{row}` | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _by_row(study: Study, measured: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The benchmark names its rows after the configs' files."""
    models = {row["model"]: row for row in measured["rows"]}
    stems = {row: Path(config).name for row, config in study.configs.items()}
    return {row: models[stem] for row, stem in stems.items() if stem in models}
