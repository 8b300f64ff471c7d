"""How processes are started, meet and end: launchers, scripts for many GPUs, ranks on the CPU."""

import os
import platform
import resource
import runpy
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from ranks import rank_environments, start_beside

from projects.cpm_avs.launch import end_with_launcher, keep_freed_memory, meet_without_gpu
from projects.cpm_avs.safe_checkpoint import load_safely

ROOT = Path(__file__).resolve().parents[1]


def test_slurm_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="slurm needs CUDA"):
        meet_without_gpu(Config(dict(launcher="slurm")))


def test_processes_on_the_cpu_meet_over_gloo_without_synchronised_norms(monkeypatch) -> None:
    met = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.distributed, "init_process_group", met.append)
    cfg = Config(dict(launcher="pytorch", sync_bn="torch", env_cfg=dict(cudnn_benchmark=True)))
    meet_without_gpu(cfg)
    assert met == ["gloo"] and cfg.env_cfg == dict(
        cudnn_benchmark=True, dist_cfg=dict(backend="gloo")
    )
    assert cfg.sync_bn is None


def test_a_process_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("LOCAL_RANK", "3")
    meet_without_gpu(Config(dict(launcher="pytorch")))
    monkeypatch.setenv("LOCAL_RANK", "4")
    with pytest.raises(SystemExit, match="process 5 of this node has no GPU, torch sees 4"):
        meet_without_gpu(Config(dict(launcher="pytorch")))


@pytest.mark.parametrize("name", ["dist_train", "dist_test", "slurm_train", "slurm_test"])
def test_scripts_say_how_they_are_used(name: str) -> None:
    done = subprocess.run(
        ["bash", ROOT / "tools" / f"{name}.sh", "only-one"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert f"usage: bash tools/{name}.sh" in done.stderr


@pytest.mark.parametrize(
    ("words", "settings", "said"),
    [
        (["train", "c.py", "--amp"], {}, "'--amp' is no number of GPUs"),
        (["train", "c.py", "0"], {}, "'0' is no number of GPUs"),
        (["test", "c.py", "README.md", "two"], {}, "'two' is no number of GPUs"),
        (["train", "c.py", "2"], dict(PORT="{port}"), "port {port} is taken"),
        (
            ["test", "c.py", "README.md", "2"],
            dict(PORT="{port}", NNODES="2"),
            "port {port} is taken",
        ),
    ],
)
def test_what_keeps_processes_from_meeting_is_said(
    words: list[str], settings: dict[str, str], said: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other_job:
        port = other_job.getsockname()[1]
        named = {name: value.format(port=port) for name, value in settings.items()}
        command = ["bash", ROOT / "tools" / f"dist_{words[0]}.sh", *words[1:]]
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | named, capture_output=True, text=True
        )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {said.format(port=port)}")
    assert len(done.stderr.splitlines()) == 1
    assert f"PORT={port + 1}" in done.stderr or "PORT" not in settings


@pytest.mark.parametrize("script", ["dist_test.sh", "slurm_test.sh PARTITION JOB"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("c.py 8 --audio silence", "the checkpoint is missing: '8' is no file"),
        ("c.py 8 4", "the checkpoint is missing: '8' is no file"),
        ("c.py 8", "the checkpoint is missing: '8' is no file"),
        ("c.py --audio silence", "the checkpoint is missing before '--audio'"),
        ("c.py c.py 8", "the checkpoint is missing before 'c.py'"),
        ("c.py none.pth 8", "no such checkpoint: 'none.pth'"),
    ],
)
def test_a_forgotten_checkpoint_is_told_before_the_job(script: str, words: str, said: str) -> None:
    command = ["bash", *f"tools/{script} {words}".split()]
    # No job may start: there is no Python and no srun to start it.
    done = subprocess.run(
        command, cwd=ROOT, env=dict(PATH="/usr/bin:/bin"), capture_output=True, text=True
    )
    assert done.returncode == 2
    first, usage = done.stderr.splitlines()
    assert first == f"error: {said}" and usage.startswith(f"usage: bash tools/{script[:9]}")


@pytest.mark.slow
def test_dist_train_runs_two_ranks_over_gloo(tmp_path: Path) -> None:
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "tests"), OMP_NUM_THREADS="1")
    options = ["train_cfg.max_iters=4", "train_cfg.val_interval=100"]
    options += ["default_hooks.checkpoint.interval=4"]
    command = ["bash", "tools/dist_train.sh", "tests/configs/toy_iter.py", "2"]
    command += ["--work-dir", tmp_path, "--cfg-options", *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert load_safely(tmp_path / "iter_4.pth")["meta"]["iter"] == 4
    log = next(tmp_path.glob("*/*.log")).read_text()
    assert "GPU number: 2" in log


def threads_after_training(sender: Any, environment: dict[str, str], words: list[str]) -> None:
    """Sends their names."""
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.argv = words
    try:
        runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        assert not end.code
    tasks = Path("/proc/self/task").iterdir()
    sender.send([(task / "comm").read_text().strip() for task in tasks])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="lists threads as Linux does")
def test_no_thread_of_gloo_outlives_the_training(tmp_path: Path) -> None:
    """It could abort the process when the interpreter ends."""
    (environment,) = rank_environments(1)
    words = ["tools/train.py", "tests/configs/toy_iter.py", "--launcher", "pytorch"]
    words += ["--work-dir", str(tmp_path)]
    words += ["--cfg-options", "train_cfg.max_iters=1", "train_cfg.val_interval=100"]
    process, receiver = start_beside(threads_after_training, environment, words)
    threads = receiver.recv()
    process.join()
    assert process.exitcode == 0
    assert "GPU number: 1" in next(tmp_path.glob("*/*.log")).read_text()  # it has trained
    assert threads and not [name for name in threads if "gloo" in name]


def launch_two(sender: Any) -> None:
    """As torchrun does, and a user by hand."""
    os.environ.pop("TORCHELASTIC_RUN_ID", None)
    started = []
    for name in ("TORCHELASTIC_RUN_ID", "OTHER"):
        if (process := os.fork()) == 0:
            os.environ[name] = "none"
            end_with_launcher()
            time.sleep(60)
            os._exit(0)
        started.append(process)
    time.sleep(1)  # by then both have asked for it, or not
    sender.send(started)
    time.sleep(60)


def alive(process: int) -> bool:
    try:
        return Path("/proc", str(process), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_a_rank_ends_with_torchrun_and_with_nothing_else() -> None:
    """Those that were started by hand, in a shell that is left, train on."""
    launcher, receiver = start_beside(launch_two)
    rank, by_hand = receiver.recv()
    assert alive(rank) and alive(by_hand)
    launcher.kill()
    launcher.join()
    until = time.monotonic() + 10
    while alive(rank) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.2)  # the other one may be ended a little later
    try:
        assert not alive(rank) and alive(by_hand)
    finally:
        os.kill(by_hand, signal.SIGKILL)


def count_page_faults(sender: Any) -> None:
    """Of ten tensors, before and after the setting."""

    def faults_of_ten_tensors() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            torch.empty(2**24).fill_(1)  # 64 MiB
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    returned = faults_of_ten_tensors()
    keep_freed_memory()
    faults_of_ten_tensors()  # until the heap has grown to what is needed
    sender.send((returned, faults_of_ten_tensors()))


@pytest.mark.skipif(
    torch.cuda.is_available() or platform.libc_ver()[0] != "glibc", reason="a setting of glibc"
)
def test_memory_that_a_tensor_gives_back_is_used_again():
    """Without the setting each of the tensors faults 16,384 pages of 4 KiB in."""
    process, receiver = start_beside(count_page_faults)
    returned, kept = receiver.recv()
    process.join()
    assert kept < returned / 5
