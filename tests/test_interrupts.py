"""Ctrl-C: one line, the status that shells expect, no half of a file, and no work that goes on."""

import gc
import importlib
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from benchmark_trees import make_s4

from projects.cpm_avs.commands import prepare_data
from projects.cpm_avs.datasets.threads import results_of
from projects.cpm_avs.inference import example_clips
from projects.cpm_avs.launch import plain_errors

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """A shell's job in the background ignores Ctrl-C, and its children do.

    What is raised while garbage is collected is lost, and Hypothesis has Python code called then.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.disable()
    yield
    gc.enable()
    signal.signal(signal.SIGINT, before)


def interrupted(*_: object, **__: object) -> Any:
    raise KeyboardInterrupt


def run_and_interrupt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, *words: str
) -> None:
    monkeypatch.setattr(sys, "argv", [*words])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "tools" / f"{words[0]}.py"), run_name="__main__")
    assert end.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", prepare_data.SUBCOMMANDS)
def test_in_preparing_data(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    command = SimpleNamespace(add_arguments=lambda _: None, run=interrupted)
    load = importlib.import_module
    monkeypatch.setattr(
        importlib,
        "import_module",
        lambda module, *rest: command if module.endswith(f".{name}") else load(module, *rest),
    )
    run_and_interrupt(monkeypatch, capsys, "prepare_data", name)


def test_in_fetching_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(subprocess, "run", interrupted)
    words = ("prepare_weights", "yamnet", "--out-dir", str(tmp_path))
    run_and_interrupt(monkeypatch, capsys, *words)
    assert left_in(tmp_path) == []


def test_in_publishing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    torch.save(dict(weight=torch.ones(1000)), tmp_path / "source.pth")
    monkeypatch.setattr(os, "fsync", interrupted)  # all is written, and nothing in its place
    words = ("publish_model", f"{tmp_path}/source.pth", f"{tmp_path}/out.pth")
    run_and_interrupt(monkeypatch, capsys, *words)
    assert left_in(tmp_path) == ["source.pth"]


def test_in_exporting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(torch.export, "save", lambda program, file: file.write(b"half"))
    monkeypatch.setattr(torch.export, "export", lambda *_, **__: None)
    monkeypatch.setattr(os, "fsync", interrupted)
    run_and_interrupt(monkeypatch, capsys, "export", "--out-dir", f"{tmp_path}/out")
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("amid", ["pictures", "truth"])
def test_in_composing_a_clip(
    amid: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    part = example_clips.VideoWriter if amid == "pictures" else example_clips.ReportWriter
    monkeypatch.setattr(part, "write", interrupted)
    words = ("make_clip", f"{tmp_path}/clip.mp4", "--truth", f"{tmp_path}/truth", "--seconds", "1")
    run_and_interrupt(monkeypatch, capsys, *words)
    # The folder's mark, by which the next run knows it; a mask comes before its report's line.
    whole = [".cpm_avs", "clip.mp4", "frame_000000.png"]
    assert left_in(tmp_path) == (whole[:1] if amid == "pictures" else whole)


def interrupt_soon() -> None:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_what_is_not_begun_is_left() -> None:
    done: list[int] = []

    def work(item: int) -> int:
        time.sleep(0.05)
        done.append(item)
        return item

    interrupt_soon()
    with (
        pytest.raises(KeyboardInterrupt),
        results_of(work, range(1000), workers=2, title="Working") as results,
    ):
        first = next(results)
        time.sleep(30)  # the caller's own work
    assert first == 0 and len(done) < 100
    finished = len(done)
    time.sleep(0.2)
    assert len(done) == finished


@pytest.mark.parametrize("name", ["check", "frames"])
def test_amid_many_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    command: Any = importlib.import_module(f"projects.cpm_avs.datasets.prepare.{name}")
    done: list[object] = []

    def work(item: object, *_: object) -> list | None:
        time.sleep(0.05)
        done.append(item)
        return [] if name == "check" else None

    root = make_s4(tmp_path)
    with (root / "s4_meta_data.csv").open("a") as index:
        index.writelines(f"x{number},0,race_car,train\n" for number in range(1000))
    monkeypatch.setattr(command, "check_media" if name == "check" else "_attempt", work)
    monkeypatch.setattr(sys, "argv", ["prepare_data", name, "s4", "--root", str(root)])
    interrupt_soon()
    with pytest.raises(SystemExit) as end, plain_errors():
        prepare_data.main()
    assert end.value.code == 130 and len(done) < 200
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"


@pytest.mark.parametrize(
    ("before", "at_import", "in_main", "status", "said"),
    [
        ("", "interrupt()", "", 130, "interrupted\n"),
        ("", "", "interrupt()", 130, "told\n"),  # as the command's own errors are
        # A job in the background:
        ("signal.signal(signal.SIGINT, signal.SIG_IGN)", "interrupt()", "interrupt()", 0, ""),
    ],
)
def test_while_packages_are_imported(
    before: str, at_import: str, in_main: str, status: int, said: str
) -> None:
    code = f"""
import contextlib, os, signal, types
from projects import cpm_avs_cli
{before}
def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
@contextlib.contextmanager
def plain_errors():
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(os.write(2, b"told\\n") and 130)
def imported(name):
    {at_import or "pass"}
    return types.SimpleNamespace(main=main, plain_errors=plain_errors)
def main():
    {in_main or "pass"}
cpm_avs_cli.import_module = imported
raise SystemExit(cpm_avs_cli.run("train"))
"""
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (status, said)
