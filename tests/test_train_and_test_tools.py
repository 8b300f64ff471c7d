"""tools/train.py and tools/test.py: what their options change, and which checkpoints they take."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mmseg
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image
from torch import nn
from typed_tools import tool

from projects.cpm_avs.config_files import ConfigError
from projects.cpm_avs.errors import UserError
from projects.cpm_avs.evaluation.mask_writer import MaskWriterHook
from projects.cpm_avs.launch import (
    CheckpointFitHook,
    ModelFitHook,
    ResumedCheckpointHook,
    load_config,
)
from projects.cpm_avs.safe_checkpoint import CheckpointError


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "small_model.py"
    path.write_text(
        "optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.1))\n"
        "train_dataloader = test_dataloader = dict("
        "    dataset=dict(type='D'), batch_size=1, sampler=dict(type='S'))\n"
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
    # The launcher's own flag is taken without a word in the help.
    flags = set(re.findall(r"'(--[a-z-]+)'", theirs)) - {"--tta", "--local-rank"}
    words = ["config.py", "weights.pth"][: 1 if name == "train" else 2]
    assert tool(name).parse_args([*words, "--local-rank", "1"]).local_rank == 1
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
    runner.optim_wrapper = SimpleNamespace(optimizer=SimpleNamespace(param_groups=[], defaults={}))
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


def test_no_mask_is_written_over_that_of_another_picture(tmp_path: Path) -> None:
    hook = MaskWriterHook(out_dir=str(tmp_path))
    for picture in ("dog/1/0.jpg", "dog/1/0.jpg", "cat/1/0.jpg"):  # a rank may get one twice
        sample = SegDataSample(metainfo=dict(clip_id="1", img_path=picture))
        sample.pred_sem_seg = PixelData(data=torch.zeros(1, 2, 2))
        if picture.startswith("dog"):
            hook.after_test_iter(None, 0, None, [sample])
    with pytest.raises(UserError, match="1/0.png: the mask of dog/1/0.jpg is there, and cat/1/0"):
        hook.after_test_iter(None, 0, None, [sample])
