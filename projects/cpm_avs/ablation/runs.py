"""Trains and tests the rows with the tools themselves; what is finished is not done again."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

from ..constants import REPOSITORY as ROOT
from ..files import write_whole
from ..visualization.run_log import read_run
from .records import RunRecord, recorded
from .rows import MEASURES, SCENES, SEPARATION, SOUNDS, Study


def folder_of(study: Study, row: str, seed: int, work_dir: Path) -> Path:
    """Where a run lives; rows with the same config share it."""
    return work_dir / Path(study.configs[row]).name / f"seed{seed}"


class Tools:
    """Runs the tools in the repository's root, and ends those that are running when it is left.

    Args:
        threads: Of each of them.
    """

    def __init__(self, threads: int) -> None:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._environment = {"OMP_NUM_THREADS": str(threads), **os.environ, "PYTHONPATH": path}
        self._lock, self._left = Lock(), False
        self._running: set[subprocess.Popen] = set()

    def __enter__(self) -> "Tools":
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._left = True
            for process in self._running:
                process.terminate()

    def call(self, tool: str, *arguments: object, output: Path) -> None:
        """Run one of them to its end; what it prints is added to ``output``."""
        command = [sys.executable, tool, *map(str, arguments)]
        with output.open("a") as file:
            file.write(" ".join(command) + "\n")
            file.flush()
            with self._lock:
                if self._left:
                    raise SystemExit(f"error: {tool} is not begun, since another run has failed")
                process = subprocess.Popen(
                    command, cwd=ROOT, env=self._environment, stdout=file, stderr=subprocess.STDOUT
                )
                self._running.add(process)
            status = process.wait()
        with self._lock:
            self._running.remove(process)
        if status != 0:
            raise SystemExit(
                f"error: {tool} ended with {status}; {output} says why. The same command goes on "
                "from the last checkpoints."
            )


def run(
    study: Study, row: str, seed: int, work_dir: Path, options: Sequence[str], tools: Tools
) -> None:
    """Train and test one run; what is there already is not done again."""
    folder = folder_of(study, row, seed, work_dir)
    result = folder / "result.json"
    tests = ("normal", *((*SOUNDS, *SCENES) if row in study.compared else ()))
    missing = [test for test in tests if not test_logs(folder, test)]
    if result.is_file() and not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    config = f"configs/{study.configs[row]}.py"

    def call(tool: str, *arguments: object) -> None:
        tools.call(tool, *arguments, output=folder / "output.txt")

    if result.is_file():
        record = RunRecord(**json.loads(result.read_text()))
    else:
        settings = [f"randomness.seed={seed}", *options]
        call("tools/train.py", config, "--work-dir", folder, "--resume", "--cfg-options", *settings)
        record = trained(folder, RunRecord(row, seed, {}))
    # A name; earlier versions wrote a path.
    checkpoint = folder / Path((folder / "last_checkpoint").read_text().strip()).name
    for test in missing:
        sound = test if test in SOUNDS else "normal"
        scenes = [f"test_dataloader.dataset.{k}={v}" for k, v in SCENES.get(test, {}).items()]
        changes = ["--cfg-options", *options, *scenes] if options or scenes else []
        arguments = [config, checkpoint, "--audio", sound, "--work-dir", folder / f"test-{test}"]
        call("tools/test.py", *arguments, *changes)
    for test in tests:
        record.scores |= tested(folder, test)
    write_whole(result, json.dumps(asdict(record)))


def test_logs(folder: Path, test: str) -> list[Path]:
    """Scores of a run's test, written at its end, oldest first."""
    logs = (folder / f"test-{test}").glob("*/*.json")
    return sorted(path for path in logs if path.stem == path.parent.name)


def tested(folder: Path, test: str) -> dict[str, float]:
    """Scores of the newest test; those with another sound or other scenes are named after them."""
    scores = json.loads(test_logs(folder, test)[-1].read_text())
    if test == "normal":
        # Without queries, as in the methods to compare with, nothing says what is heard.
        return {name: scores[key] for name, key in MEASURES.items() if key in scores}
    measures = {f"mIoU_{test}": scores["dataset/mIoU"]}
    if test in SOUNDS:
        measures[f"false_frames_{test}"] = scores[f"robustness/{test}/frame_FPR"]
        measures[f"false_pixels_{test}"] = scores[f"robustness/{test}/pixel_FPR"]
    return measures


def trained(folder: Path, record: RunRecord) -> RunRecord:
    """Add what the training logged: curves, stability, seconds an iteration, separation."""
    curves = read_run(folder, folder.name).curves
    record.curves = dict(mIoU=curves["dataset/mIoU"], coverage=curves.get("coverage", []))
    record.curves["STS"] = curves.get("STS", [])
    if record.curves["STS"]:
        record.scores["STS"] = record.curves["STS"][-1][1]
    # Validation logs its own time, under the same name, at iterations that are validated.
    validated = {iteration for iteration, _ in curves["dataset/mIoU"]}
    timed = [value for iteration, value in curves.get("time", ()) if iteration not in validated]
    if timed:  # a run may be shorter than the interval at which it logs
        record.scores["seconds"] = statistics.median(timed)
    for name, key in SEPARATION.items():
        if key in curves:
            record.scores[name] = curves[key][-1][1]
    return record


def finished(study: Study, work_dir: Path, out: Path) -> list[RunRecord]:
    """All results of the work folder and of the earlier report, in the order of rows and seeds."""
    records = {(record.row, record.seed): record for record in recorded(out)}
    for row in study.configs:
        for path in (work_dir / Path(study.configs[row]).name).glob("seed*/result.json"):
            fields: dict[str, Any] = json.loads(path.read_text()) | dict(row=row)
            record = RunRecord(**fields)
            records[row, record.seed] = record
    order = list(study.configs)
    return sorted(records.values(), key=lambda record: (order.index(record.row), record.seed))
