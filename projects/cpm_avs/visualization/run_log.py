"""Reading back the curves that a training run logged."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LARGEST = 1e100


@dataclass
class Run:
    """Curves of a run by key: points (iteration, value) in order."""

    name: str
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def forget_from(self, iteration: int) -> None:
        """Drop what a resumed run did again."""
        kept = {
            key: [point for point in points if point[0] < iteration]
            for key, points in self.curves.items()
        }
        self.curves = {key: points for key, points in kept.items() if points}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Lines of a scalars.json; the last may be cut off where the run was killed.

    Raises:
        ValueError: Another line is none of a log; the message has its number.
    """
    texts = path.read_bytes().decode("utf-8-sig", errors="replace").splitlines()
    lines: list[dict[str, Any]] = []
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError) as error:
            if number == len(texts) and text.startswith("{"):
                break
            raise ValueError(
                f"{path}:{number}: not a line of JSON. The log is damaged; delete that line."
            ) from error
        if not isinstance(line, dict) or not all(
            _is_number(line.get(key, 0)) for key in ("iter", "step")
        ):
            raise ValueError(
                f"{path}:{number}: no line of a log, which is a JSON object with numbers as iter "
                "and step. Delete that line."
            )
        lines.append(line)
    return lines


def _is_number(value: object) -> bool:
    """Whether it has a place in a figure: JSON has larger numbers, NaN and infinity, too."""
    return type(value) in (int, float) and abs(value) < _LARGEST  # type: ignore[arg-type]


def read_run(run_dir: Path, name: str) -> Run:
    """All curves of a run, whose folder holds one log for each time it was started or resumed."""
    logs = sorted(run_dir.glob("*/vis_data/scalars.json"))
    if not logs:
        raise FileNotFoundError(
            f"{run_dir}: no log (*/vis_data/scalars.json) in it. Name a work_dir of tools/train.py "
            "whose visualizer has the LocalVisBackend."
        )
    run, now = Run(name), 0
    for log in logs:
        started = False
        for line in read_lines(log):
            # Training lines carry `iter`; the step of a validation is an epoch in epoch-based
            # training, which is then smaller than the last training line's iteration.
            now = line["iter"] if "iter" in line else max(line.get("step", 0), now)
            if not started and "iter" in line:
                run.forget_from(now)
                started = True
            for key, value in line.items():
                if _is_number(value) or value != value:  # NaN leaves a gap in the curve
                    run.curves.setdefault(key, []).append((now, value))
    if not run.curves:
        raise ValueError(f"{run_dir}: nothing is logged in it yet; wait for the first iterations")
    return run
