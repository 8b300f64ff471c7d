"""Train and test the rows of Tables 4 and 5 on AVS-Stamps, several seeds each, and tabulate them.

    python tools/ablation.py --seeds 0 1 2 --jobs 2 --out docs/ablation

A training or test that is finished is not run again, and one that was interrupted goes on where it
stopped, so the command can be repeated, with more rows and seeds, until all is there. Every row has
the same iterations, batches, order of scenes and schedule: only what its config names differs.

Written: OUT.json (row -> measure -> mean, std, n), OUT.md (the tables), OUT.png (the curves) and
OUT_runs.json (each run's scores and curves). They hold all finished runs of the work folder and
those that OUT_runs.json held before, which need no work folder any more: rows and seeds can be
added on another machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

from mmengine.config import Config
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from projects.cpm_avs.launch import at_least, output_file, output_folder, plain_errors, setting
from projects.cpm_avs.visualization.ablation_report import (
    Addition,
    RunRecord,
    additions_markdown,
    curves_figure,
    markdown,
    summarise,
)
from projects.cpm_avs.visualization.run_log import read_run

ROOT = Path(__file__).resolve().parents[1]
BASE = "cpm_mbv2-yamnet_stamps"
TABLE_4 = {
    "baseline": f"ablation/{BASE}_baseline",
    "ccdm": f"ablation/{BASE}_ccdm",
    "ccdm_vcp": f"ablation/{BASE}_ccdm-vcp",
    "ccdm_acp": f"ablation/{BASE}_ccdm-acp",
    "ccdm_acp_vcp": f"ablation/{BASE}_ccdm-acp-vcp",
    "cpm": BASE,
}
TABLE_5 = {
    "point": f"ablation/{BASE}_point",
    "m1": f"ablation/{BASE}_m1",
    "m3": BASE,
    "m5": f"ablation/{BASE}_m5",
    "m7": f"ablation/{BASE}_m7",
}
ROWS = TABLE_4 | TABLE_5
#: With the differences of the mIoU in Table 4.
ADDITIONS = (
    Addition("all", "baseline", "cpm", 4.21),
    Addition("CCDM", "baseline", "ccdm", 1.08),
    Addition("VCP", "ccdm", "ccdm_vcp", 1.67),
    Addition("ACP", "ccdm", "ccdm_acp", 0.95),
    Addition("ACP and VCP", "ccdm", "ccdm_acp_vcp", 2.29),
    Addition("PCL", "ccdm_acp_vcp", "cpm", 0.84),
)
#: Name in the table, and key in the log of the test.
MEASURES = {
    "mIoU": "dataset/mIoU",
    "F_beta": "dataset/F",
    "J&F": "avsbench/J&F",
    "coverage": "coverage",
}
#: What rows with audio prompting measure when they are validated.
SEPARATION = {"ratio_error": "ACP/ratio_error", "si_sdr_improvement": "ACP/si_sdr_improvement"}
#: Configs that are also tested with another sound, and on other scenes.
COMPARED = (TABLE_4["baseline"], TABLE_4["cpm"])
SOUNDS = ("silence", "noise", "offscreen")
#: What they change in the test's data set.
SCENES: dict[str, dict[str, Any]] = {
    "ss": dict(subset="ss"),
    "crowd": dict(num_objects=8, num_sounding=[4]),
}
PAGE = """# The ablation on AVS-Stamps `ms`

Written by `tools/ablation.py`: mean ± standard deviation over the seeds, on the test scenes; mIoU
and F_beta by the `dataset` protocol, J&F by `avsbench`, in percent. What compares with the baseline
takes the one of the same seed, which saw the same scenes in the same order. The gain in the last
quarter and the iterations that a row needs to reach the baseline's last mIoU are of the validation
scenes, the latter only of runs that reach it. STS is that of the last epoch, which has 50
iterations; the comparison leaves out the first. `m3` is the same runs as `cpm`. The trainings have
{iterations:,} iterations.

![curves]({curves})

{added}{tables}"""
SECONDS_BETWEEN_LOOKS = 15  # a look reads the whole logs


def folder_of(row: str, seed: int, work_dir: Path) -> Path:
    """Where a run lives; rows with the same config share it."""
    return work_dir / Path(ROWS[row]).name / f"seed{seed}"


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


def run(row: str, seed: int, work_dir: Path, options: Sequence[str], tools: Tools) -> None:
    """Train and test one run; what is there already is not done again."""
    folder = folder_of(row, seed, work_dir)
    result = folder / "result.json"
    tests = ("normal", *((*SOUNDS, *SCENES) if ROWS[row] in COMPARED else ()))
    missing = [test for test in tests if not test_logs(folder, test)]
    if result.is_file() and not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    config = f"configs/{ROWS[row]}.py"

    def call(tool: str, *arguments: object) -> None:
        tools.call(tool, *arguments, output=folder / "output.txt")

    if result.is_file():
        record = RunRecord(**json.loads(result.read_text()))
    else:
        settings = [f"randomness.seed={seed}", *options]
        call("tools/train.py", config, "--work-dir", folder, "--resume", "--cfg-options", *settings)
        record = trained(folder, RunRecord(row, seed, {}))
    checkpoint = (folder / "last_checkpoint").read_text().strip()
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
        return {name: scores[key] for name, key in MEASURES.items()}
    measures = {f"mIoU_{test}": scores["dataset/mIoU"]}
    if test in SOUNDS:
        measures[f"false_frames_{test}"] = scores[f"robustness/{test}/frame_FPR"]
        measures[f"false_pixels_{test}"] = scores[f"robustness/{test}/pixel_FPR"]
    return measures


def trained(folder: Path, record: RunRecord) -> RunRecord:
    """Add what the training logged: curves, stability, seconds an iteration, separation."""
    curves = read_run(folder, folder.name).curves
    record.curves = dict(mIoU=curves["dataset/mIoU"], coverage=curves["coverage"])
    record.curves["STS"] = curves["STS"]
    record.scores["STS"] = curves["STS"][-1][1]
    # Validation logs its own time, under the same name, at iterations that are validated.
    validated = {iteration for iteration, _ in curves["dataset/mIoU"]}
    record.scores["seconds"] = statistics.median(
        value for iteration, value in curves["time"] if iteration not in validated
    )
    for name, key in SEPARATION.items():
        if key in curves:
            record.scores[name] = curves[key][-1][1]
    return record


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


def finished(work_dir: Path, out: Path) -> list[RunRecord]:
    """All results of the work folder and of the earlier report, in the order of rows and seeds."""
    records = {(record.row, record.seed): record for record in recorded(out)}
    for row in ROWS:
        for path in (work_dir / Path(ROWS[row]).name).glob("seed*/result.json"):
            fields: dict[str, Any] = json.loads(path.read_text()) | dict(row=row)
            record = RunRecord(**fields)
            records[row, record.seed] = record
    order = list(ROWS)
    return sorted(records.values(), key=lambda record: (order.index(record.row), record.seed))


def write_report(records: Sequence[RunRecord], out: Path) -> None:
    """Tables, curves and the runs themselves."""
    lengths = {int(record.curves["mIoU"][-1][0]) for record in records}
    if len(lengths) > 1:
        raise SystemExit(
            f"error: the runs have {' and '.join(map(str, sorted(lengths)))} iterations and belong "
            f"in no one table; {named(out, '_runs.json')} or the work folder is of another schedule"
        )
    (iterations,) = lengths
    table = summarise(records)
    out.parent.mkdir(parents=True, exist_ok=True)
    runs = [json.dumps(asdict(record)) for record in records]
    write_whole(named(out, "_runs.json"), "[\n" + ",\n".join(runs) + "\n]\n")
    named(out, ".json").write_text(json.dumps(table, indent=2) + "\n")
    page = PAGE.format(
        iterations=iterations,
        curves=f"{out.name}.png",
        added=additions_markdown(records, ADDITIONS),
        tables=markdown(table),
    )
    named(out, ".md").write_text(page)
    drawn = [record for record in records if record.row != "m3"]  # the curves of cpm
    curves_figure(drawn, solid=tuple(TABLE_4)).savefig(named(out, ".png"), dpi=110)


def write_whole(path: Path, text: str) -> None:
    """Replace a file by a new one only when that is whole."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def named(out: Path, ending: str) -> Path:
    """One of the report's files; a dot in its name begins no suffix."""
    return out.with_name(out.name + ending)


def show_progress(progress: Progress, task: TaskID, folder: Path) -> None:
    """Move a run's bar to where its log is."""
    try:
        dumped = next(folder.glob("*.py"))
        reached = max(point[-1][0] for point in read_run(folder, folder.name).curves.values())
    except (StopIteration, FileNotFoundError, ValueError):
        return  # not begun
    total = Config.fromfile(dumped).train_cfg.max_iters
    progress.update(task, total=total, completed=reached, visible=True)


def run_all(pairs: Sequence[tuple[str, int]], args: argparse.Namespace, progress: Progress) -> None:
    """Do the runs, some side by side, and write the report whenever one is done.

    One that fails ends those beside it, too.
    """
    threads = max((os.cpu_count() or 1) // args.jobs, 1)
    # Rows that share a folder are one run.
    runs = {folder_of(row, seed, args.work_dir): (row, seed) for row, seed in pairs}
    earlier = {(record.row, record.seed) for record in recorded(args.out)}
    runs = {folder: run for folder, run in runs.items() if folder.exists() or run not in earlier}
    with ThreadPoolExecutor(args.jobs) as pool, Tools(threads) as tools:
        jobs = {}
        for folder, (row, seed) in runs.items():
            task = progress.add_task(f"{row}, seed {seed}", total=None, visible=False)
            job = pool.submit(run, row, seed, args.work_dir, args.cfg_options, tools)
            jobs[job] = (task, folder)
        pending = set(jobs)
        try:
            while pending:
                done, pending = wait(pending, SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
                for job in done:
                    job.result()
                for job, (task, folder) in jobs.items():
                    if job.running() or job in done:
                        show_progress(progress, task, folder)
                if done:
                    write_report(finished(args.work_dir, args.out), args.out)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=ROWS,
        default=list(ROWS),
        metavar="ROW",
        help=f"of {', '.join(ROWS)} (default: all)",
    )
    parser.add_argument(
        "--seeds", nargs="+", type=at_least(0), default=[0, 1, 2], help="default: 0 1 2"
    )
    parser.add_argument("--jobs", type=at_least(1), default=1, help="runs side by side")
    parser.add_argument(
        "--work-dir",
        type=output_folder,
        default=Path("work_dirs/ablation"),
        help="default: %(default)s",
    )
    parser.add_argument("--out", type=output_file(), required=True, help="without suffix")
    parser.add_argument(
        "--cfg-options", nargs="+", type=setting, default=[], help="for every row alike"
    )
    args = parser.parse_args(arguments)
    args.work_dir = args.work_dir.resolve()  # the tools run in another folder
    # All rows of a seed first, so that a partial table compares like with like.
    pairs = [(row, seed) for seed in args.seeds for row in args.rows]
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    ) as progress:
        run_all(pairs, args, progress)
    print(named(args.out, ".md").read_text())


if __name__ == "__main__":
    with plain_errors():
        main()
