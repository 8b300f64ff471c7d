"""The tools as typed: mistakes end in a sentence; options of train and test, two ranks."""

import importlib
import os
import platform
import re
import runpy
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import mmseg
import numpy as np
import pytest
import torch
from benchmark_trees import make_ms3
from clips import make_clip
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from toy_avs import PIPELINE, ToySet, write_toy_files

from projects.cpm_avs.config_files import ConfigError
from projects.cpm_avs.datasets.benchmarks.avsbench import AVSBenchMS3Dataset
from projects.cpm_avs.evaluation.mask_writer import MaskWriterHook
from projects.cpm_avs.inference.model_loading import find_device
from projects.cpm_avs.launch import (
    CheckpointFitHook,
    ModelFitHook,
    ResumedCheckpointHook,
    at_least,
    load_config,
    meet_without_gpu,
    plain_errors,
)
from projects.cpm_avs.safe_checkpoint import CheckpointError, load_safely
from projects.cpm_avs.structures import UserError
from projects.cpm_avs.training.finite import NonFiniteLossError

ROOT = Path(__file__).resolve().parents[1]


def tool(name: str) -> ModuleType:
    """The command of tools/NAME.py."""
    return importlib.import_module(f"projects.cpm_avs.commands.{name}")


def run_tool(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """A command line: the tool's path and its arguments."""
    monkeypatch.setattr(sys, "argv", [*words])
    try:
        runpy.run_path(str(ROOT / words[0]), run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise


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


def test_what_reads_the_output_may_be_gone_or_lack_letters() -> None:
    environment = dict(os.environ, PYTHONPATH=str(ROOT), PYTHONIOENCODING="latin-1")
    command = [sys.executable, "-c", PRINTING]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with subprocess.Popen(command, env=environment, **pipes) as printing:
        assert printing.stdout.readline() == b"a dog: \\U0001f436\n"
        printing.stdout.close()
        assert b"Traceback" not in printing.stderr.read() and printing.wait() == 141


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


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "small_model.py"
    path.write_text(
        "optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.1))\n"
        "train_dataloader = test_dataloader = dict(dataset=dict(type='D'))\n"
        "train_cfg = dict(type='IterBasedTrainLoop', max_iters=1)\n"
        "test_cfg = dict(type='TestLoop')\n"
        "test_evaluator = dict(type='AVSMetric')\n"
        "default_hooks = dict(visualization=dict(type='V'))\n"
        "visualizer = dict(type='Visualizer')\n"
        "custom_hooks = [dict(type='EMUpdateHook')]\n"
        "model = dict(type='M', head=dict(), criterion=dict(prompt_weight=0.5))\n"
    )
    return str(path)


class _FakeRunner:
    """Records the config it is made from, and that it ran."""

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        self.hooks: list[Any] = []
        self.ran = ""

    def register_hook(self, hook: Any) -> None:
        self.hooks.append(hook)

    def train(self) -> None:
        self.ran = "train"

    def test(self) -> None:
        self.ran = "test"


@pytest.fixture
def runners(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[_FakeRunner]:
    monkeypatch.chdir(tmp_path)  # where the work folder comes
    made: list[_FakeRunner] = []

    def from_cfg(cfg: Config) -> _FakeRunner:
        made.append(_FakeRunner(cfg))
        return made[-1]

    monkeypatch.setattr(Runner, "from_cfg", from_cfg)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    return made


@pytest.mark.parametrize("name", ["train", "test"])
def test_flags_are_those_of_mmseg(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = (Path(mmseg.__file__).parent / ".mim" / "tools" / f"{name}.py").read_text()
    flags = set(re.findall(r"'(--[a-z-]+)'", theirs)) - {"--tta"}
    with pytest.raises(SystemExit):
        tool(name).parse_args(["--help"])
    assert flags <= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))


@pytest.mark.parametrize(
    ("words", "saved", "expected"),
    [
        ([], True, (False, "start.pth")),
        (["--resume"], True, (True, None)),
        (["--resume"], False, (False, "start.pth")),  # nothing there to go on with
        (["--resume", "old/iter_4.pth"], True, (True, "old/iter_4.pth")),
    ],
)
def test_where_a_run_begins_and_where_it_goes_on(
    words: list[str],
    saved: bool,
    expected: tuple[bool, str | None],
    config: str,
    runners: list[_FakeRunner],
) -> None:
    if saved:
        Path("work").mkdir()
        torch.save({}, "work/iter_2.pth")
        Path("work/last_checkpoint").write_text("work/iter_2.pth")
    options = ["--work-dir", "work", "--cfg-options", "load_from=start.pth"]
    tool("train").main([config, *options, *words])
    assert (runners[0].cfg.resume, runners[0].cfg.load_from) == expected


def test_a_checkpoint_of_the_run_itself_is_no_beginning(
    config: str, runners: list[_FakeRunner]
) -> None:
    options = ["--work-dir", "work", "--cfg-options", "load_from=work/iter_2.pth"]
    with pytest.raises(UserError, match="to go on from it: --resume work/iter_2.pth"):
        tool("train").main([config, "--resume", *options])


def test_train_applies_the_options(config: str, runners: list[_FakeRunner]) -> None:
    options = ["optim_wrapper.optimizer.lr=0.5", "model.crop=[(1,2)]", "optim_wrapper.type=None"]
    tool("train").main([config, "--resume", "--cfg-options", *options])
    cfg = runners[0].cfg
    assert runners[0].ran == "train"
    assert cfg.resume is True
    assert cfg.optim_wrapper.optimizer.lr == 0.5
    assert cfg.optim_wrapper.type is None
    assert cfg.model.crop == [(1, 2)]
    assert cfg.work_dir == str(Path("work_dirs/small_model"))
    assert [type(hook) for hook in runners[0].hooks] == [ModelFitHook, ResumedCheckpointHook]


def test_work_dir_of_the_command_line_wins_over_the_config(config: str) -> None:
    train = tool("train")
    named = ["--cfg-options", "work_dir=from_config"]
    assert load_config(train.parse_args([config, *named])).work_dir == "from_config"
    both = train.parse_args([config, "--work-dir", "mine", *named])
    assert load_config(both).work_dir == "mine"


def test_a_missing_config_is_named() -> None:
    with pytest.raises(ConfigError, match="no config 'gone.py'"):
        tool("train").main(["gone.py"])


def test_amp_keeps_the_configs_dtype(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    train = tool("train")
    cfg = Config.fromfile(config)
    cfg.optim_wrapper.dtype = "bfloat16"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="needs a GPU"):
        train.use_mixed_precision(cfg)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    train.use_mixed_precision(cfg)
    assert cfg.optim_wrapper.type == "AmpOptimWrapper"
    assert cfg.optim_wrapper.dtype == "bfloat16"
    assert cfg.optim_wrapper.loss_scale == "dynamic"
    cfg.optim_wrapper.type = "Other"
    with pytest.raises(SystemExit, match="has a Other"):
        train.use_mixed_precision(cfg)


def test_test_changes_only_what_it_is_asked_to(config: str, runners: list[_FakeRunner]) -> None:
    tool("test").main([config, "weights.pth"])
    asked = Config.fromfile(config)
    changed = {key for key in runners[0].cfg if runners[0].cfg[key] != asked.get(key)}
    assert changed == {"launcher", "work_dir", "load_from", "model"}
    assert runners[0].cfg.model == dict(
        type="M", head={}, criterion=None
    )  # what training alone needs
    assert runners[0].ran == "test"
    assert runners[0].cfg.load_from == "weights.pth"


def test_test_writes_draws_and_replaces_the_sound(config: str, runners: list[_FakeRunner]) -> None:
    options = ["--out", "masks", "--show-dir", "drawn", "--audio", "silence"]
    tool("test").main([config, "weights.pth", *options])
    cfg = runners[0].cfg
    assert [hook.type for hook in cfg.custom_hooks] == ["EMUpdateHook", "MaskWriterHook"]
    assert cfg.custom_hooks[1].out_dir == "masks"
    assert cfg.default_hooks.visualization.draw is True
    assert cfg.visualizer.save_dir == "drawn"
    assert cfg.test_dataloader.dataset.audio_condition == "silence"
    assert [metric.type for metric in cfg.test_evaluator] == ["AVSMetric", "RobustnessMetric"]


def test_the_sound_is_replaced_in_every_part_of_a_joined_set() -> None:
    cfg = Config(
        dict(
            test_dataloader=dict(dataset=dict(type="ConcatDataset", datasets=[{}, {}])),
            test_evaluator=[dict(type="AVSMetric")],
        )
    )
    tool("test").replace_sound(cfg, "noise")
    parts = cfg.test_dataloader.dataset.datasets
    assert [part.audio_condition for part in parts] == ["noise", "noise"]
    assert "audio_condition" not in cfg.test_dataloader.dataset


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
        f"data = dict(type='AVSBenchS4Dataset', split='test', data_root={str(tmp_path)!r})"
    )
    monkeypatch.setattr(Runner, "from_cfg", lambda cfg: DATASETS.build(cfg.data))
    with pytest.raises(SystemExit) as stop, plain_errors():
        tool(name).main([str(config), *["weights.pth"] * (name == "test")])
    assert str(stop.value.code).startswith(f"error: {tmp_path}/s4_meta_data.csv: there is no index")
    assert "data/README.md" in str(stop.value.code)


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


def _check(state: dict[str, torch.Tensor]) -> None:
    runner = _FakeRunner(Config())
    runner.model = nn.ModuleDict(dict(head=nn.Linear(2, 3)))
    hook = CheckpointFitHook(source="file.pth", ignored_prefix="criterion.")
    hook.after_load_checkpoint(runner, dict(state_dict=state))
    assert list(state) == ["head.weight", "head.bias"]  # so that mmengine has nothing to report


def test_a_checkpoint_must_fit_but_for_the_part_of_training() -> None:
    state = {"head.weight": torch.zeros(3, 2), "head.bias": torch.zeros(3)}
    _check(state)
    _check({f"module.{key}": value for key, value in state.items()})
    _check(state | {"criterion.other": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"file\.pth.*head\.weight is \(5, 2\).*\(3, 2\)"):
        _check(state | {"head.weight": torch.zeros(5, 2)})
    with pytest.raises(CheckpointError, match=r"head\.bias is missing"):
        _check({"head.weight": torch.zeros(3, 2)})
    with pytest.raises(CheckpointError, match=r"neck is not in the model"):
        _check(state | {"neck": torch.zeros(1)})


def test_a_run_goes_on_only_with_its_optimiser() -> None:
    runner = _FakeRunner(Config())
    runner.model = nn.Linear(2, 3)
    runner.optim_wrapper = SimpleNamespace(optimizer=SimpleNamespace(param_groups=[]))
    runner.param_schedulers = None
    runner.max_iters = 9
    hook = ResumedCheckpointHook(source="best_3.pth")
    best = dict(state_dict=nn.Linear(2, 3).state_dict())
    with pytest.raises(CheckpointError, match=r"best_3\.pth.*optimiser.*numbered"):
        hook.after_load_checkpoint(runner, best)
    whole = best | dict(
        optimizer=dict(state={}, param_groups=[]),
        meta=dict(epoch=0, iter=3),
        message_hub=dict(log_scalars={}, runtime_info={}, resumed_keys={}),
    )
    hook.after_load_checkpoint(runner, whole)
    for odd in (
        dict(meta=dict(epoch=0)),
        dict(meta=dict(epoch=0, iter="3")),
        dict(message_hub=[]),
        dict(message_hub=dict(log_scalars={})),
        dict(optimizer={}),
    ):
        with pytest.raises(CheckpointError, match=rf"its {next(iter(odd))} is no dict with"):
            hook.after_load_checkpoint(runner, whole | odd)
    with pytest.raises(CheckpointError, match="does not fit"):
        hook.after_load_checkpoint(runner, whole | dict(state_dict={}))


def test_masks_are_written_by_clip_and_frame(tmp_path: Path) -> None:
    mask = torch.tensor([[0, 70], [3, 1]])
    samples = [
        SegDataSample(metainfo=dict(clip_id="v1s/dog", img_path="x/v1s/dog/frames/4.jpg")),
        SegDataSample(metainfo=dict(clip_id="../../up", frame_index=7)),
    ]
    for sample in samples:
        sample.pred_sem_seg = PixelData(data=mask[None])
    MaskWriterHook(out_dir=str(tmp_path / "masks")).after_test_iter(None, 0, None, samples)
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.png"))
    assert written == [Path("masks/up/7.png"), Path("masks/v1s/dog/4.png")]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / written[1])), mask.numpy())


@pytest.mark.parametrize("name", ["dist_train", "dist_test", "slurm_train", "slurm_test"])
def test_scripts_say_how_they_are_used(name: str) -> None:
    done = subprocess.run(
        ["bash", ROOT / "tools" / f"{name}.sh", "only-one"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert f"usage: bash tools/{name}.sh" in done.stderr


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


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


def test_a_process_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("LOCAL_RANK", "3")
    meet_without_gpu(Config(dict(launcher="pytorch")))
    monkeypatch.setenv("LOCAL_RANK", "4")
    with pytest.raises(SystemExit, match="process 5 of this node has no GPU, torch sees 4"):
        meet_without_gpu(Config(dict(launcher="pytorch")))


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


_THREADS_AFTER_TRAINING = """
import runpy, sys
from pathlib import Path

sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    assert not end.code
for thread in Path("/proc/self/task").iterdir():
    print("thread", (thread / "comm").read_text().strip())
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="lists threads as Linux does")
def test_no_thread_of_gloo_outlives_the_training(tmp_path: Path) -> None:
    """It could abort the process when the interpreter ends."""
    environment = dict(os.environ, PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}", OMP_NUM_THREADS="1")
    environment.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1")
    environment.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=_free_port())
    command = [sys.executable, "-c", _THREADS_AFTER_TRAINING, "tools/train.py"]
    command += ["tests/configs/toy_iter.py", "--launcher", "pytorch", "--work-dir", tmp_path]
    command += ["--cfg-options", "train_cfg.max_iters=1", "train_cfg.val_interval=100"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    threads = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("thread ")}
    assert threads and not [name for name in threads if "gloo" in name]


_COUNT_PAGE_FAULTS = """
import resource, torch
from projects.cpm_avs.launch import keep_freed_memory

def faults_of_ten_tensors():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.empty(2**24).fill_(1)  # 64 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

returned = faults_of_ten_tensors()
keep_freed_memory()
faults_of_ten_tensors()  # until the heap has grown to what is needed
print(returned, faults_of_ten_tensors())
"""


@pytest.mark.skipif(
    torch.cuda.is_available() or platform.libc_ver()[0] != "glibc", reason="a setting of glibc"
)
def test_memory_that_a_tensor_gives_back_is_used_again():
    """Without the setting each of the tensors faults 16,384 pages of 4 KiB in."""
    command = [sys.executable, "-c", _COUNT_PAGE_FAULTS]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    returned, kept = map(int, output.splitlines()[-1].split())
    assert kept < returned / 5
