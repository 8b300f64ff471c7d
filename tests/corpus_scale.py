"""What a video costs with and without Ray, and with more workers.

    python tests/corpus_scale.py FOLDER_OF_VIDEOS --workers 0 1 2

Each number of workers does a manifest and one twice as long: the difference is free of all that a
start costs. The clock says how it scales, where as many cores are idle; CPU time, that of all
processes, says what Ray adds, on a busy machine, too.
"""

import argparse
import os
import subprocess
import time
from pathlib import Path

from corpus_kill import processes_of, start, write_manifest

TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("--out", type=Path, default=Path("work_dirs/corpus_scale"))
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--copies", type=int, default=2, help="of each video in the shorter one")
    args = parser.parse_args()
    first: tuple[float, float] | None = None
    for workers in args.workers:
        costs = []
        for copies in (args.copies, 2 * args.copies):
            folder = args.out / f"{workers}_{copies}"
            run = start(write_manifest(args.videos, folder, copies), folder / "results", workers)
            costs.append(cost(run))
        count = args.copies * len(list(args.videos.iterdir()))
        clock, processor = ((b - a) / count for a, b in zip(*costs, strict=True))
        first = first or (clock, processor)
        print(
            f"{workers} workers: {clock:.3f} s of the clock a video ({first[0] / clock:.2f} x), "
            f"{processor:.3f} s of CPU ({processor / first[1] - 1:+.1%})",
            flush=True,
        )


def cost(run: subprocess.Popen) -> tuple[float, float]:
    """Seconds of the clock and of the CPU until it ends, with all that it starts."""
    began, used = time.monotonic(), {}
    while run.poll() is None:
        for process in processes_of(run.pid):
            used[process] = used_by(process) or used.get(process, 0.0)
        time.sleep(0.5)
    assert run.returncode in (0, 1), run.returncode
    return time.monotonic() - began, sum(used.values())


def used_by(process: int) -> float:
    """CPU seconds so far; 0 of one that has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


if __name__ == "__main__":
    main()
