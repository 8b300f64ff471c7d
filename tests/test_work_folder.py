"""Whose a work folder is, and what in it a run resumes from."""

import importlib
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint
from ranks import start_beside

from projects.cpm_avs.errors import UserError
from projects.cpm_avs.launch import claim_work_folder
from projects.cpm_avs.work_folder import claim, latest_checkpoint


def hold(sender: Any, folder: Path) -> None:
    """What a process does that trains there."""
    claim(folder)
    if os.fork() == 0:  # as a loader's worker is
        time.sleep(5)
        os._exit(0)
    sender.send(os.getpid())
    time.sleep(60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A work folder with three checkpoints, the last one the newest, and a best one."""
    place = tmp_path / "run"
    place.mkdir()
    for age, name in enumerate(["best_score_iter_24", "iter_24", "iter_16", "iter_8"]):
        torch.save(dict(weight=torch.ones(4000)), place / f"{name}.pth")
        os.utime(place / f"{name}.pth", (1e9 - age, 1e9 - age))
    (place / "last_checkpoint").write_text("iter_24.pth")
    return place


def damage(path: Path) -> None:
    """A sector of zeros, and the time as it was."""
    times = path.stat()
    data = bytearray(path.read_bytes())
    data[8000:8512] = bytes(512)
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_the_checkpoint_that_is_named_is_resumed_from(folder: Path) -> None:
    assert find_latest_checkpoint is latest_checkpoint  # mmengine's name leads here
    assert latest_checkpoint(str(folder)) == str(folder / "iter_24.pth")
    (folder / "last_checkpoint").write_text("iter_16.pth\n")
    assert latest_checkpoint(str(folder)) == str(folder / "iter_16.pth")


@pytest.mark.parametrize("name", ["{old}/iter_16.pth", r"C:\runs\old\iter_16.pth"])
def test_a_folder_that_was_moved_or_copied_has_its_own(folder: Path, name: str) -> None:
    """mmengine wrote whole paths, and a copy resumed from the original."""
    old = folder.parent / "old"
    old.mkdir()
    torch.save({}, old / "iter_16.pth")
    (folder / "last_checkpoint").write_text(name.format(old=old))
    assert latest_checkpoint(str(folder)) == str(folder / "iter_16.pth")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "not there"),
        (b"", "empty"),
        (b"\xff\0garbage", "not there"),
        (b"iter_32.pth", "iter_32.pth, which last_checkpoint names, is not there"),
        (b"..", "not there"),
    ],
)
def test_without_the_name_the_newest_counts(
    folder: Path, content: bytes | None, reason: str, capsys: pytest.CaptureFixture
) -> None:
    (folder / "last_checkpoint").unlink()
    if content is not None:
        (folder / "last_checkpoint").write_bytes(content)
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("projects.cpm_avs.work_folder.print_log", lambda text, *_: said.append(text))
        assert latest_checkpoint(str(folder)) == str(folder / "iter_24.pth")
    assert reason in said[0] and said[0].endswith(f"resuming from {folder / 'iter_24.pth'}")


def test_a_damaged_checkpoint_is_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        "projects.cpm_avs.work_folder.print_log", lambda text, *_: said.append(text)
    )
    damage(folder / "iter_24.pth")
    (folder / "iter_16.pth").write_bytes(b"half of one")
    os.utime(folder / "iter_16.pth", (1e9 - 2, 1e9 - 2))
    assert latest_checkpoint(str(folder)) == str(folder / "iter_8.pth")
    assert "iter_24.pth is damaged (the checksum" in said[0] and "iter_16.pth is damaged" in said[0]
    (folder / "iter_8.pth").write_bytes(b"")
    with pytest.raises(ValueError, match="damaged.*begin anew.*--resume FILE"):
        latest_checkpoint(str(folder))


def test_a_name_without_any_checkpoint_is_no_start_from_nothing(folder: Path) -> None:
    for path in folder.glob("iter_*.pth"):
        path.unlink()
    with pytest.raises(ValueError, match=r"iter_24\.pth, which.*is not there.*begin anew"):
        latest_checkpoint(str(folder))
    (folder / "last_checkpoint").unlink()
    assert latest_checkpoint(str(folder)) is None


def test_checkpoints_that_go_elsewhere_are_followed(folder: Path, tmp_path: Path) -> None:
    """By the checkpoint hook's out_dir; the work folder then holds none."""
    work = tmp_path / "logs"
    work.mkdir()
    (work / "last_checkpoint").write_text(str(folder / "iter_24.pth"))
    assert latest_checkpoint(str(work)) == str(folder / "iter_24.pth")


def test_a_second_job_is_refused_until_the_first_one_ends(tmp_path: Path) -> None:
    first, receiver = start_beside(hold, tmp_path)
    pid = receiver.recv()
    with pytest.raises(ValueError, match=rf"process {pid} on .*, since .* trains in this work"):
        claim(tmp_path)
    first.kill()
    first.join()
    claim(tmp_path)  # though its worker lives on
    claim(tmp_path)


def test_a_refused_job_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a log folder nor a dumped config beside those of the job that trains there."""
    first, receiver = start_beside(hold, tmp_path)
    receiver.recv()
    before = sorted(tmp_path.rglob("*"))
    train: Any = importlib.import_module("projects.cpm_avs.commands.train")
    words = ["cpm_mbv2-yamnet_stamps", "--work-dir", str(tmp_path)]
    with pytest.raises(UserError, match="trains in this work folder"):
        train.main(words)
    assert sorted(tmp_path.rglob("*")) == before
    monkeypatch.setenv("RANK", "1")
    claim_work_folder(Config(dict(work_dir=str(tmp_path), launcher="pytorch")))
    first.kill()
    claim_work_folder(Config(dict(work_dir=str(tmp_path / "new"), launcher="none")))
    assert [path.name for path in (tmp_path / "new").iterdir()] == [".lock"]


def test_a_run_that_begins_anew_tells_what_it_writes_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        "projects.cpm_avs.work_folder.print_log", lambda text, *_: said.append(text)
    )
    claim_work_folder(Config(dict(work_dir=str(folder), launcher="none", resume=True)))
    assert not said
    claim_work_folder(Config(dict(work_dir=str(folder), launcher="none", resume=False)))
    (told,) = said
    assert told.startswith(f"{folder / 'iter_24.pth'} is of an earlier run")
    assert "--resume" in told and "--work-dir" in told


def test_a_file_system_without_locks_is_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        "projects.cpm_avs.work_folder.print_log", lambda text, *_: said.append(text)
    )

    def no_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.lockf", no_locks)
    claim(tmp_path)
    assert "No locks available" in said[0]
