"""Kills a run over a corpus at random moments and holds its results against an undisturbed run's.

    python tests/corpus_kill.py FOLDER_OF_VIDEOS --kills 20

Of each kill draws say whom it hits, a worker, the node manager of the embedded cluster or the
driver, and whether it waits until a worker is at work or comes while models are loaded. What ends
is started again at once, as a user would; at the end all three tables must be those of a run that
nobody disturbed, and no process of any start may be left.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
TABLES = ("videos", "masks", "pieces")
KINDS = ("worker", "worker", "worker", "node", "driver")
TITLES = dict(worker="ray::Worker", node="/raylet/raylet")  # in the command of their processes
AT_WORK = "ray::Worker.do"
EARLY = 0.25  # of the kills come while a worker may still load its model
#: Seconds in which all that belonged to a run is gone. Two of Ray's agents try for 60 s to tell of
#: the node manager's end, and then end, too.
ENDING = 90.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("--out", type=Path, default=Path("work_dirs/corpus_kill"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pause", type=float, default=5.0, help="most seconds between two kills")
    parser.add_argument("--copies", type=int, default=14, help="of each video in the manifest")
    args = parser.parse_args()
    manifest = write_manifest(args.videos, args.out, args.copies)
    quiet, disturbed = args.out / "quiet", args.out / "disturbed"
    began = time.monotonic()
    assert start(manifest, quiet, workers=0).wait() in (0, 1)
    print(f"undisturbed, one process: {time.monotonic() - began:.0f} s", flush=True)

    draws, done = random.Random(args.seed), Counter()
    began = time.monotonic()
    run = start(manifest, disturbed, args.workers)
    starts = [run.pid]
    wanted = len(rows(quiet, "videos"))
    while run.poll() is None or len(rows(disturbed, "videos")) < wanted:
        if run.poll() is not None:
            assert len(starts) < args.kills + 5, f"ends with status {run.returncode}"
            run = start(manifest, disturbed, args.workers)
            starts.append(run.pid)
        early = draws.random() < EARLY
        while run.poll() is None and not (done.total() < args.kills and is_due(run.pid, early)):
            time.sleep(0.5)
        time.sleep(draws.uniform(0.5, args.pause))
        if run.poll() is None and hit(kind := draws.choice(KINDS), run.pid, draws):
            done[kind] += 1
            spent = time.monotonic() - began
            print(f"{spent:4.0f} s: killed a {kind} ({done.total()})", flush=True)
    few = f"finished after {done.total()} kills: give more --copies, or a shorter --pause"
    assert done.total() == args.kills, few
    assert run.returncode in (0, 1), run.returncode
    spent = time.monotonic() - began
    print(f"disturbed: {spent:.0f} s, {len(starts)} starts, kills {dict(done)}", flush=True)
    wait_for_end(*starts)
    for table in TABLES:
        expected, found = rows(quiet, table), rows(disturbed, table)
        assert len(set(found)) == len(found), f"{table}: something is there twice"
        assert found == expected, f"{table}: {len(found)} rows, not the {len(expected)} wanted"
        print(f"{table}: {len(found)} rows, the same")
    return 0


def write_manifest(videos: Path, folder: Path, copies: int) -> Path:
    """Links to the videos under several names, one that is broken and one that is not there."""
    links = folder / "videos"
    links.mkdir(parents=True)
    for path in sorted(videos.iterdir()):
        for copy in range(copies):
            (links / f"{path.stem}_{copy}{path.suffix}").symlink_to(path.resolve())
    (links / "broken.mp4").write_bytes(os.urandom(10_000))
    manifest = folder / "manifest.txt"
    names = [f"videos/{path.name}" for path in sorted(links.iterdir())]
    manifest.write_text("\n".join([*names, "videos/missing.mp4"]) + "\n")
    return manifest


def start(manifest: Path, out: Path, workers: int) -> subprocess.Popen:
    """A run, whose processes are a session: they are found there when their parents have ended."""
    words = ["tools/corpus.py", manifest.resolve(), "--out", out.resolve(), "--workers", workers]
    options = ["--fps", 1, "--piece", 4, "--save-every", 2]
    command = [sys.executable, *map(str, words + options)]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True)


def hit(kind: str, driver: int, draws: random.Random) -> bool:
    """Kill one of a kind; False where there is none yet."""
    title = TITLES.get(kind)
    targets = [driver] if title is None else titled(title, driver)
    if not targets:
        return False
    try:
        os.kill(draws.choice(sorted(targets)), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def is_due(driver: int, early: bool) -> bool:
    """Whether there is something to lose."""
    return bool(titled(TITLES["worker"] if early else AT_WORK, driver))


def titled(title: str, session: int) -> list[int]:
    return [one for one in processes_of(session) if title in command_of(one)]


def processes_of(session: int) -> list[int]:
    """All processes of a session that was begun for a run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session:
                found.append(int(entry.name))
    return sorted(found)


def command_of(process: int) -> str:
    """Empty of one that has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def wait_for_end(*sessions: int) -> None:
    """All that was started must go by itself."""
    due = time.monotonic() + ENDING
    while left := [one for session in sessions for one in processes_of(session)]:
        assert time.monotonic() < due, f"left: {[command_of(one)[:100] for one in left]}"
        time.sleep(0.5)


def rows(folder: Path, table: str) -> list[str]:
    if not any((folder / table).glob("*.parquet")):
        return []
    return sorted(map(repr, pq.read_table(folder / table).to_pylist()))


if __name__ == "__main__":
    sys.exit(main())
