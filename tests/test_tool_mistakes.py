"""Mistakes on a tool's command line, or in what it names, end in one sentence."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmark_trees import make_ms3
from clips import make_clip
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import DATASETS
from new_process import start
from torch.utils.data import DataLoader
from toy_avs import PIPELINE, ToySet, write_toy_files
from typed_tools import run_tool, tool

from projects.cpm_avs.datasets.benchmarks.avsbench import AVSBenchMS3Dataset
from projects.cpm_avs.inference.model_loading import find_device
from projects.cpm_avs.launch import (
    at_least,
    plain_errors,
)
from projects.cpm_avs.training.finite import NonFiniteLossError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """What the command lines below name: a file, a part of a config, a run, a clip."""
    found = {name: tmp_path / name for name in ("file", "part.py", "run", "clip.mp4")}
    found["file"].write_text("a letter")
    found["part.py"].write_text("train_cfg = dict(max_iters=1)")
    log = found["run"] / "a" / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    log.write_text('{"loss": 1.0, "iter": 1}')
    make_clip(found["clip.mp4"], frames=2, sound=np.zeros((1, 4000), np.float32))
    return {"tmp": tmp_path, **{path.stem: path for path in found.values()}}


STAMPS = "configs/cpm_mbv2-yamnet_stamps.py"


@pytest.mark.parametrize(
    "line, named, remedy",
    [
        ("make_clip {tmp}/x", "{tmp}/x'", "ends in .mp4"),
        ("make_clip {tmp}/x.txt", "{tmp}/x.txt", "ends in .mp4"),
        ("make_clip {tmp}/x.png", "{tmp}/x.png", "ends in .mp4"),
        ("make_clip {tmp}", "{tmp}", "ends in .mp4"),
        ("make_clip {file}/x.mp4", "{file}' is a file", "name a folder"),
        ("make_clip {tmp}/x.mp4 --seed -1", "--seed: -1", "0 or more"),
        ("benchmark predict configs/nope.py", "configs/nope.py", "there are cpm_"),
        ("benchmark predict {part}", "{part}", "give a whole config"),
        (f"benchmark predict {STAMPS} --runs 0", "--runs: 0", "1 or more"),
        (f"benchmark predict {STAMPS} --batch 0", "--batch: 0", "1 or more"),
        (f"benchmark predict {STAMPS} --device cuda:99", "cuda:99", "give 'cpu'"),
        (f"benchmark predict {STAMPS} --size 16", "--size", "32 or more"),
        (f"benchmark predict {STAMPS} --precision int8", "--precision", "bf16"),
        (f"benchmark train {STAMPS} --batch best", "--batch", "number of samples"),
        ("benchmark metrics --frames 0", "--frames: 0", "1 or more"),
        ("measure_memory --config nope", "no config 'nope'", "there are cpm_"),
        ("measure_memory --fps 0", "--fps: 0", "0.001 or more"),
        ("measure_memory --fps nan", "--fps: nan", "0.001 or more"),
        ("plot_log {run} --out {tmp}/x.xyz", "{tmp}/x.xyz", "ends in .png"),
        ("plot_log {run} --out {tmp}", "{tmp}", "ends in .png"),
        ("plot_log {run} --out {file}/x.png", "{file}' is a file", "name a folder"),
        (f"plot_acp {STAMPS} CKPT --out {{tmp}}/x.xyz", "{tmp}/x.xyz", "ends in .png"),
        (f"plot_acp {STAMPS} CKPT --out {{file}}/x.png", "{file}' is a file", "name a folder"),
        (f"plot_acp {STAMPS} CKPT --device cuda:99", "cuda:99", "give 'cpu'"),
        (f"plot_acp {STAMPS} CKPT --cfg-options foo", "'foo'", "KEY=VALUE"),
        (f"plot_scenes {STAMPS} CKPT --out {{tmp}}/x.xyz", "{tmp}/x.xyz", "ends in .png"),
        (f"plot_scenes {STAMPS} CKPT --out {{file}}/x.png", "{file}' is a file", "name a folder"),
        (f"plot_scenes {STAMPS} CKPT --out {{tmp}}/x.png --device cuda:99", "cuda:99", "'cpu'"),
        (f"plot_scenes {STAMPS} CKPT --out {{tmp}}/x.png --cfg-options foo", "'foo'", "KEY=VALUE"),
        ("publish_model CKPT {file}/x.pth", "{file}' is a file", "name a folder"),
        ("demo {clip} --config {part} --out {tmp}/o.mp4", "{part}", "give a whole config"),
        ("demo {clip} --config {file} --out {tmp}/o.mp4", "{file}", "py/yml"),
        ("demo {clip} --out {tmp}", "{tmp}", "name a file in it"),
        ("make_clip {tmp}/x.mp4 --seconds inf", "--seconds: inf", "no finite number"),
        ("corpus {file} --out {tmp}/o --fps inf", "--fps: inf", "no finite number"),
        ("corpus {file} --out {tmp}/o --piece inf", "--piece: inf", "no finite number"),
        ("score {tmp} {tmp} --size 16384", "--size: '16384'", "4096x4096 at most"),
        ("score {tmp} {tmp} --foreground-size 9x0", "--foreground-size: '9x0'", "WIDTHxHEIGHT"),
        ("export --config {part}", "{part}", "give a whole config"),
        ("export --out-dir {file}/x", "{file}' is a file", "name a folder"),
        ("app --at-once 0", "--at-once: 0", "1 or more"),
        ("ablation --out {file}/x", "{file}' is a file", "name a folder"),
        ("ablation --out {tmp}/x --cfg-options foo", "'foo'", "KEY=VALUE"),
        ("tune_rates --out {file}/x", "{file}' is a file", "name a folder"),
        ("tune_rates --out {tmp}/x --rates 0", "--rates: 0", "above 0"),
        ("train {part}", "{part}", "give a whole config"),
        ("train {file}", "{file}", "py/yml"),
        ("train {tmp}", "{tmp} is a folder", "name a config"),
        (f"train {STAMPS} --work-dir {{file}}/x", "{file}' is a file", "name a folder"),
        (f"train {STAMPS} --cfg-options foo", "'foo'", "KEY=VALUE"),
        (f"train {STAMPS} --cfg-options a=[(1, 2)]", "'a=[(1,'", "without white space"),
        (f"train {STAMPS} --cfg-options train_cfg.max_iters.x=1", "max_iters", "cfg-options"),
        (f"train {STAMPS} --cfg-options val_evaluator.7.x=1", "Index 7", "cfg-options"),
        (f"test {STAMPS} CKPT --out {{file}}", "{file}' is a file", "name a folder"),
        (f"test {STAMPS} CKPT --cfg-options foo", "'foo'", "KEY=VALUE"),
    ],
)
def test_mistakes_end_in_one_sentence(
    places: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    named: str,
    remedy: str,
) -> None:
    """And nothing is written before, or lost."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(subprocess, "Popen", None)  # the ablation would begin to train
    before = {path: path.is_file() and path.read_bytes() for path in places["tmp"].rglob("*")}
    name, *words = line.format(**places).split()
    with pytest.raises(SystemExit) as stop:
        run_tool(monkeypatch, f"tools/{name}.py", *words)
    printed = capsys.readouterr().err
    # Python prints a message that is the status, which is 1 then.
    said = stop.value.code if isinstance(stop.value.code, str) else printed
    assert stop.value.code == 2 or said.startswith("error: ")
    assert "error: " in said.splitlines()[-1]
    assert named.format(**places) in said.splitlines()[-1] and remedy in said.splitlines()[-1]
    after = {path: path.is_file() and path.read_bytes() for path in places["tmp"].rglob("*")}
    assert after == before


def test_only_refusals_of_the_project_lose_their_traceback() -> None:
    with pytest.raises(SystemExit, match="error: device 'gpu' can't be used"), plain_errors():
        find_device("gpu")
    with pytest.raises(SystemExit, match="error: device 'meta' can't be used"), plain_errors():
        find_device("meta")  # whose tensors have no values
    with pytest.raises(ValueError), plain_errors():
        torch.distributions.Normal(0.0, -1.0)
    with pytest.raises(ValueError), plain_errors():  # within the project's code, but no refusal
        at_least(1)("a")
    with pytest.raises(OSError), plain_errors():
        raise OSError("of no file")
    with pytest.raises(SystemExit, match="error: .*'/no'"), plain_errors():
        raise PermissionError(13, "Permission denied", "/no")
    with pytest.raises(SystemExit, match="error: loss = nan"), plain_errors():
        raise NonFiniteLossError("loss = nan")


def test_a_refusal_is_known_behind_code_without_source() -> None:
    """A dataclass's ``__init__`` is such code, and what it calls may refuse."""
    refuse = compile("find_device('gpu')", "<string>", "eval")
    with pytest.raises(SystemExit, match="error: device 'gpu' can't be used"), plain_errors():
        eval(refuse, dict(find_device=find_device))
    with pytest.raises(ValueError, match="invalid literal"), plain_errors():
        eval("int('a')")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "CUDA out of memory; .*batch_size"),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
                "memory: you tried to allocate 9 bytes. Error code 12 (Cannot allocate memory)"
            ),
            "out of memory .tried to allocate 9 bytes.; give smaller batches",
        ),
        (MemoryError("Unable to allocate 9 GiB"), "out of memory .Unable to allocate 9 GiB.;"),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
            r"worker \(pid 7\) is killed by signal: Killed: .*num_workers .*--resume",
        ),
        (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), "unexpectedly: mostly"),
    ],
)
def test_too_little_memory_is_told(error: Exception, told: str) -> None:
    with pytest.raises(SystemExit, match=f"^error: .*{told}"), plain_errors():
        raise error
    with pytest.raises(RuntimeError, match="of its own"), plain_errors():
        raise RuntimeError("of its own")


PRINTING = """
import sys
from projects.cpm_avs.launch import plain_errors
with plain_errors():
    while True:
        print("a dog: \U0001f436", flush=True)
"""


def test_what_reads_the_output_may_be_gone_or_lack_letters(tmp_path: Path) -> None:
    pipe, errors = tmp_path / "pipe", tmp_path / "errors.txt"
    os.mkfifo(pipe)
    printing = start("-c", PRINTING, stdout=pipe, stderr=errors, PYTHONIOENCODING="latin-1")
    with pipe.open("rb") as reader:
        assert reader.readline() == b"a dog: \\U0001f436\n"
    assert printing.wait() == 141 and "Traceback" not in errors.read_text()


def test_an_interrupt_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop, plain_errors():
        raise KeyboardInterrupt
    assert stop.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    "line",
    [
        "make_clip {no}/x.mp4",
        "make_clip {tmp}/x.mp4 --truth {no}",
        "publish_model CKPT {no}/x.pth",
        "export --out-dir {no}",
        "export",
        "demo CLIP --out {no}/x.mp4",
        "demo CLIP --out-dir {no}",
        "demo CLIP",
        "plot_log {run} --out {no}/x.png",
        f"plot_acp {STAMPS} CKPT",
        f"plot_scenes {STAMPS} CKPT --out {{no}}/x.png",
        f"browse_dataset {STAMPS} --output-dir {{no}}",
        f"confusion_matrix {STAMPS} MASKS {{no}}",
        f"benchmark predict {STAMPS} --json {{no}}/x.json",
        "ablation --out {no}/x",
        "ablation --out {tmp}/x",
        f"train {STAMPS} --work-dir {{no}}",
        f"train {STAMPS}",
        f"test {STAMPS} CKPT --out {{no}}",
        f"test {STAMPS} CKPT --show-dir {{no}}",
        f"test {STAMPS} CKPT",
        "prepare_weights yamnet --out-dir {no}",
        "prepare_weights yamnet",
        "prepare_data stamps --deb DEB --out {no}",
    ],
)
def test_what_can_not_be_written_is_told_before_the_work(
    places: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
) -> None:
    """Root may write nearly anywhere: to no folder of /proc. Without a name it is the default's."""
    monkeypatch.chdir("/proc")
    monkeypatch.setattr(subprocess, "Popen", None)
    line = line.format(no="/proc/none", **places).replace(STAMPS, f"{ROOT}/{STAMPS}")
    name, *words = line.split()
    with pytest.raises(SystemExit) as stop:
        run_tool(monkeypatch, str(ROOT / f"tools/{name}.py"), *words)
    said = f"{stop.value.code}\n{capsys.readouterr().err}".strip()
    assert "'/proc' can't be written to" in said and "name another folder" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_file_of_the_data_ends_in_one_line(tmp_path: Path, num_workers: int) -> None:
    init_default_scope("mmseg")
    lost = write_toy_files(tmp_path) / "3.png"
    lost.unlink()
    dataset = ToySet(root=tmp_path, pipeline=PIPELINE, test_mode=True)
    loader = DataLoader(dataset, batch_size=2, num_workers=num_workers, collate_fn=list)
    with pytest.raises(SystemExit) as stop, plain_errors():
        list(loader)
    message = f"error: {lost}: the mask is missing. Check data_root and the index"
    assert stop.value.code == message


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_sound_that_the_data_lack_ends_in_one_line(tmp_path: Path, num_workers: int) -> None:
    """As of ``test.py configs/cpm_r50_ms3-224.py CHECKPOINT --audio offscreen``."""
    init_default_scope("mmseg")
    dataset = AVSBenchMS3Dataset(
        data_root=str(make_ms3(tmp_path)),
        split="test",
        pipeline=[],
        test_mode=True,
        audio_condition="offscreen",
    )
    loader = DataLoader(dataset, batch_size=1, num_workers=num_workers, collate_fn=list)
    with pytest.raises(SystemExit) as stop, plain_errors():
        list(loader)
    assert str(stop.value.code).startswith("error: audio_condition='offscreen': MS3 does not say")
    assert "\n" not in str(stop.value.code)


@pytest.mark.parametrize("name", ["train", "test"])
def test_data_that_was_not_downloaded_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    init_default_scope("mmseg")
    config = tmp_path / "c.py"
    config.write_text(
        "model = dict(type='M')\n"
        f"s4 = dict(type='AVSBenchS4Dataset', split='test', data_root={str(tmp_path)!r})"
    )
    monkeypatch.setattr(Runner, "from_cfg", lambda cfg: DATASETS.build(cfg.s4))
    with pytest.raises(SystemExit) as stop, plain_errors():
        tool(name).main([str(config), *["weights.pth"] * (name == "test")])
    assert str(stop.value.code).startswith(f"error: {tmp_path}/s4_meta_data.csv: there is no index")
    assert "data/README.md" in str(stop.value.code)
