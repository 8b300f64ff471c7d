"""Train and test the rows of Tables 4 and 5, several seeds each, and tabulate them.

    cpm-avs ablation --seeds 0 1 2 --jobs 2 --out docs/ablation
    cpm-avs ablation --data real --work-dir work_dirs/ablation-real --out docs/ablation-real

A training or test that is finished is not run again, and one that was interrupted goes on where it
stopped, so the command can be repeated, with more rows and seeds, until all is there. Every row has
the same iterations, batches, order of scenes and schedule: only what its config names differs.

Written: OUT.json (row -> measure -> mean, std, n), OUT.md (the tables), OUT.png (the curves) and
OUT_runs.json (each run's scores and curves). They hold all finished runs of the work folder and
those that OUT_runs.json held before, which need no work folder any more: rows and seeds can be
added on another machine.
"""

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

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

from ..ablation.records import named, recorded
from ..ablation.report import write_report
from ..ablation.rows import STUDIES, Study
from ..ablation.runs import Tools, finished, folder_of, run
from ..launch import at_least, output_file, output_folder, setting
from ..visualization.run_log import read_run

SECONDS_BETWEEN_LOOKS = 15  # a look reads the whole logs


def show_progress(progress: Progress, task: TaskID, folder: Path) -> None:
    """Move a run's bar to where its log is."""
    try:
        dumped = next(folder.glob("*.py"))
        reached = max(point[-1][0] for point in read_run(folder, folder.name).curves.values())
    except (StopIteration, FileNotFoundError, ValueError):
        return  # not begun
    total = Config.fromfile(dumped).train_cfg.max_iters
    progress.update(task, total=total, completed=reached, visible=True)


def run_all(
    study: Study, pairs: Sequence[tuple[str, int]], args: argparse.Namespace, progress: Progress
) -> None:
    """Do the runs, some side by side, and write the report whenever one is done.

    One that fails ends those beside it, too.
    """
    threads = max((os.cpu_count() or 1) // args.jobs, 1)
    # Rows that share a folder are one run.
    runs = {folder_of(study, row, seed, args.work_dir): (row, seed) for row, seed in pairs}
    earlier = {(record.row, record.seed) for record in recorded(args.out)}
    runs = {folder: run for folder, run in runs.items() if folder.exists() or run not in earlier}
    if not runs:
        write_report(finished(study, args.work_dir, args.out), args.out, study)
    with ThreadPoolExecutor(args.jobs) as pool, Tools(threads) as tools:
        jobs = {}
        for folder, (row, seed) in runs.items():
            task = progress.add_task(f"{row}, seed {seed}", total=None, visible=False)
            job = pool.submit(run, study, row, seed, args.work_dir, args.cfg_options, tools)
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
                    records = finished(study, args.work_dir, args.out)
                    write_report(records, args.out, study)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def add_rows(parser: argparse.ArgumentParser, data: str) -> None:
    """Options that say which study, ``data`` by default, and which of its rows."""
    listed = (f"{name}: {', '.join(study.configs)}" for name, study in STUDIES.items())
    parser.add_argument(
        "--data", choices=STUDIES, default=data, help="what is compared (default: %(default)s)"
    )
    parser.add_argument(
        "--rows", nargs="+", metavar="ROW", help=f"default: all. {'; '.join(listed)}"
    )


def chosen_study(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Study:
    """The study that these options name; ``args.rows`` are then rows of it."""
    study = STUDIES[args.data]
    args.rows = args.rows or list(study.configs)
    if unknown := [row for row in args.rows if row not in study.configs]:
        parser.error(
            f"argument --rows: --data {args.data} has no {', '.join(unknown)}; "
            f"choose from {', '.join(study.configs)}"
        )
    return study


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_rows(parser, data="stamps")
    parser.add_argument(
        "--seeds", nargs="+", type=at_least(0), default=[0, 1, 2], help="default: 0 1 2"
    )
    parser.add_argument(
        "--jobs", type=at_least(1), default=1, help="runs side by side (default: %(default)s)"
    )
    parser.add_argument(
        "--work-dir",
        type=output_folder,
        default="work_dirs/ablation",
        help="default: %(default)s",
    )
    parser.add_argument("--out", type=output_file(), required=True, help="without suffix")
    parser.add_argument(
        "--cfg-options", nargs="+", type=setting, default=[], help="for every row alike"
    )
    args = parser.parse_args(arguments)
    study = chosen_study(parser, args)
    if foreign := {record.row for record in recorded(args.out)} - set(study.configs):
        parser.error(
            f"argument --out: {named(args.out, '_runs.json')} has rows of another study, "
            f"{', '.join(sorted(foreign))}; give another"
        )
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
        run_all(study, pairs, args, progress)
    print(named(args.out, ".md").read_text())
