"""The processes of a job end when what started them does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LAUNCHER = """
import os, time
from projects.cpm_avs.launch import end_with_launcher
started = []
for name in ("TORCHELASTIC_RUN_ID", "OTHER"):
    if (process := os.fork()) == 0:
        os.environ[name] = "none"
        end_with_launcher()
        time.sleep(60)
    started.append(process)
time.sleep(1)  # by then both have asked for it, or not
print(*started, flush=True)
time.sleep(60)
"""


def alive(process: str) -> bool:
    try:
        return Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_a_rank_ends_with_torchrun_and_with_nothing_else() -> None:
    """Those that were started by hand, in a shell that is left, train on."""
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).resolve().parents[1]))
    environment.pop("TORCHELASTIC_RUN_ID", None)
    command = [sys.executable, "-c", LAUNCHER]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        rank, by_hand = launcher.stdout.readline().split()
        assert alive(rank) and alive(by_hand)
        launcher.kill()
        launcher.wait()
        until = time.monotonic() + 10
        while alive(rank) and time.monotonic() < until:
            time.sleep(0.05)
        try:
            assert not alive(rank) and alive(by_hand)
        finally:
            os.kill(int(by_hand), signal.SIGKILL)
