"""Head, backbones and data that do not fit are told before anything is computed, in every tool."""

import importlib
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from photo_set import shared_photo_set
from tiny import build_tiny, tiny_batch, tiny_model_cfg
from torch import nn

from projects.cpm_avs.config_files import ConfigError
from projects.cpm_avs.inference import AVSInferencer
from projects.cpm_avs.inference.preparation import Preparation
from projects.cpm_avs.launch import ModelFitHook, build_dataset, plain_errors
from projects.cpm_avs.launch.checkpoint_fit import CheckpointFitHook
from projects.cpm_avs.model_fit import (
    check_backbones,
    check_classes,
    check_config_classes,
    check_order_of_classes,
    check_rates,
    check_sound,
    class_names,
)
from projects.cpm_avs.safe_checkpoint import CheckpointError

ROOT = Path(__file__).resolve().parents[1]
STAMPS = ROOT / "configs/cpm_mbv2-yamnet_stamps.py"
CHECKPOINT = ROOT / "data/checkpoints/cpm_mbv2-yamnet_stamps-394c6a35.pth"


def test_head_and_data_have_the_same_classes() -> None:
    model = SimpleNamespace(decode_head=SimpleNamespace(num_classes=5))
    data = SimpleNamespace(metainfo=dict(classes=("background", "cat", "dog")))
    with pytest.raises(ConfigError, match=r"num_classes is 5, and here has 3 .*background, cat"):
        check_classes(model, data, "here")
    check_classes(ConfigDict(decode_head=dict(num_classes=3)), data, "here")
    check_classes(model, SimpleNamespace(), "here")


def test_all_data_of_a_run_number_their_classes_alike() -> None:
    sets = [SimpleNamespace(metainfo=dict(classes=("bg", *names))) for names in ("ab", "ba", "ac")]
    check_order_of_classes(dict(train=sets[0], val=sets[0], test=sets[2], none=SimpleNamespace()))
    with pytest.raises(ConfigError, match="^train and test have .* class 1 is 'a' .* 'b' in the"):
        check_order_of_classes(dict(train=sets[0], val=sets[0], test=sets[1]))


def test_all_data_of_a_run_have_one_rate() -> None:
    check_rates(dict(train=16000, val=16000, test=None))
    with pytest.raises(
        ConfigError, match="of train is loaded at 16000 Hz and that of test at 8000"
    ):
        check_rates(dict(none=None, train=16000, test=8000))


@pytest.mark.parametrize(
    ("dataset", "where"),
    [
        (dict(type="StampsDataset"), "dataset has 25"),
        (dict(type="AVSBenchS4Dataset"), "dataset has 2"),
        (dict(type="AVSBenchS4Dataset", metainfo=dict(classes=["a", "b", "c"])), None),
        (dict(type="RepeatDataset", dataset=dict(type="StampsDataset")), r"dataset\.dataset has"),
        (
            dict(type="ConcatDataset", datasets=[dict(type="Other"), dict(type="StampsDataset")]),
            r"datasets\.1 has",
        ),
        (dict(type="Other"), None),
        ("photographs", "dataset has 4"),  # whose index says them
    ],
)
def test_the_data_of_a_config_need_not_be_here(dataset: Any, where: str | None) -> None:
    init_default_scope("mmseg")
    if isinstance(dataset, str):
        dataset = dict(type="ComposedDataset", subset="ss", split="train", num_scenes=1)
        dataset["data_root"] = shared_photo_set(4)
        assert len(class_names(dataset) or ()) == 4
        assert class_names({**dataset, "data_root": "/nowhere"}) is None
    cfg = Config(
        dict(model=dict(decode_head=dict(num_classes=3)), val_dataloader=dict(dataset=dataset))
    )
    if where is None:
        check_config_classes(cfg)
    else:
        with pytest.raises(ConfigError, match=rf"is 3, and val_dataloader\.(.*\.)?{where}"):
            check_config_classes(cfg)


def inherited(folder: Path, text: str) -> Path:
    path = folder / "inherited.py"
    path.write_text(f"_base_ = {str(STAMPS)!r}\n{text}\n")
    return path


TOOLS = {
    "benchmark": "predict {config}",
    "export": "--config {config} --checkpoint {checkpoint} --out-dir {out}/e",
    "demo": "{out}/clip.mp4 --config {config} --checkpoint {checkpoint} --out {out}/o.mp4",
    "app": "--config {config} --checkpoint {checkpoint} --port 0",
    "plot_scenes": "{config} {checkpoint} --out {out}/scenes.png",
    "get_flops": "{config}",
    "measure_memory": "--config {config}",
    "browse_dataset": "{config} --output-dir {out} --not-show",
    "confusion_matrix": "{config} {out}/masks {out}/drawn",
}
OF_DATA = ("browse_dataset", "confusion_matrix")


def told(name: str, config: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a tool that is given a config ends with."""
    words = TOOLS[name].format(config=config, checkpoint=CHECKPOINT, out=out).split()
    monkeypatch.setattr(sys, "argv", [name, *words])
    tool: Any = importlib.import_module(f"projects.cpm_avs.commands.{name}")
    with pytest.raises(SystemExit) as end, plain_errors():
        sys.exit(tool.main())
    return str(end.value.code)


@pytest.mark.parametrize("name", TOOLS)
def test_every_tool_compares_head_and_data(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    config = inherited(tmp_path, "model = dict(decode_head=dict(num_classes=5))")
    if name == "demo":
        importlib.import_module("projects.cpm_avs.commands.make_clip").main(
            [f"{tmp_path}/clip.mp4", "--seconds", "1"]
        )
    said = told(name, config, tmp_path, monkeypatch) + capsys.readouterr().err
    assert "model.decode_head.num_classes is 5, and t" in said
    assert "dataloader.dataset has 25 classes" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("name", TOOLS)
def test_every_tool_names_what_is_not_registered(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    text = "model = dict(decode_head=dict(classifier=dict(type='GMMClasifier')))"
    wanted = "model.decode_head.classifier.type is 'GMMClasifier'"
    if name in OF_DATA:
        text = "train_dataloader = test_dataloader = dict(dataset=dict(type='StampDataset'))"
        wanted = "dataset.type is 'StampDataset'"
    if name == "demo":
        importlib.import_module("projects.cpm_avs.commands.make_clip").main(
            [f"{tmp_path}/clip.mp4", "--seconds", "1"]
        )
    said = told(name, inherited(tmp_path, text), tmp_path, monkeypatch) + capsys.readouterr().err
    assert f"{wanted}, which is not registered; did you mean" in said
    assert "Traceback" not in said


def test_a_tool_names_the_data_that_a_config_lacks() -> None:
    cfg = Config(dict(model=dict(), test_dataloader=None))
    with pytest.raises(ConfigError, match="it has no test_dataloader; give"):
        build_dataset(cfg, "test_dataloader")


def test_the_inferencer_compares_head_and_data(tmp_path: Path) -> None:
    config = inherited(tmp_path, "model = dict(decode_head=dict(num_classes=5))")
    with pytest.raises(ConfigError, match=r"num_classes is 5, and train_dataloader\.dataset has 2"):
        AVSInferencer(str(config), CHECKPOINT, "cpu")


def test_the_sound_and_size_of_unknown_data_are_not_guessed() -> None:
    cfg = Config(dict(test_dataloader=dict(dataset=dict(type="StampDataset"))))
    with pytest.raises(ConfigError, match="'StampDataset'.* did you mean 'StampsDataset'"):
        Preparation.from_config(cfg)
    cfg.test_dataloader.dataset = dict(
        type="RepeatDataset", dataset=dict(type="StampsDataset", num_channels=2)
    )
    assert Preparation.from_config(cfg).channels == 2


RESNET = dict(type="ResNet", depth=18, base_channels=8, norm_cfg=dict(type="BN"))


@pytest.mark.parametrize(
    ("backbone", "sentence"),
    [
        (dict(base_channels=16), r"\[8, 16, 32, 64\].*set .*in_channels=\[16,32,64,128\]$"),
        (dict(out_indices=(0, 1, 2)), r"gives 3 maps at strides \[4, 8, 16\].*set .*out_indices"),
        (
            dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
            r"gives 4 maps at strides \[4, 8, 8, 8\], and the head reads 4 at strides \[4, 8, 16",
        ),
        (dict(in_channels=4), r"backbone can't take 3 x 64 x 64 numbers: .*channels"),
    ],
)
def test_backbones_that_do_not_fit_are_told_when_built(
    backbone: dict[str, Any], sentence: str
) -> None:
    model = build_tiny(tiny_model_cfg(backbone=backbone))
    with pytest.raises(ConfigError, match=sentence):
        check_backbones(model)


def test_a_backbone_is_left_as_it_was() -> None:
    """Statistics of its norms, modes of its parts, the state of the generators."""
    model = build_tiny(tiny_model_cfg(backbone=dict(norm_cfg=dict(type="BN"), norm_eval=False)))
    model.train()
    model.backbone.layer1.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    check_backbones(model)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes


class Sounds(nn.Module):
    in_channels, out_channels = 2, (8, 16)

    def __init__(self, maps: Any) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, specgram: torch.Tensor) -> Any:
        assert specgram.shape == (1, 2, 96, 256)
        return self.maps


def test_an_audio_backbone_keeps_its_word() -> None:
    fine, coarse, wide = (torch.zeros(1, width, 6, 16) for width in (8, 16, 24))
    check_backbones(SimpleNamespace(audio_backbone=Sounds((fine, coarse))))
    with pytest.raises(ConfigError, match=r"maps of \[8, 24\] .*out_channels says \[8, 16\]"):
        check_backbones(SimpleNamespace(audio_backbone=Sounds((fine, wide))))
    with pytest.raises(ConfigError, match="audio_backbone gives something else than a tuple"):
        check_backbones(SimpleNamespace(audio_backbone=Sounds(wide)))


def test_the_first_batch_is_compared_too() -> None:
    """Of a model that no tool built."""
    model = build_tiny(tiny_model_cfg()).eval()
    inputs = model.data_preprocessor(tiny_batch(), False)["inputs"]
    wanted = model.decode_head.in_channels
    model.decode_head.in_channels = [*wanted[:-1], 7]
    with pytest.raises(ValueError, match=r"is \[.*7\].*set model\.decode_head\.in_channels="):
        model.extract_visual(inputs["img"])
    model.audio_backbone.in_channels = 1
    with pytest.raises(ValueError, match="in_channels is 1, and the data's sound has 2 channels"):
        model.extract_audio(inputs["specgram"].repeat(1, 2, 1, 1))


def test_a_model_that_hears_places_takes_two_channels() -> None:
    """Though its audio backbone takes one."""
    cfg = tiny_model_cfg(decode_head=dict(stereo_position=dict(type="StereoPosition")))
    model = build_tiny(cfg)
    check_sound(model, 2, "the clip")
    with pytest.raises(ConfigError, match=r"stereo_position .*the clip has 1 channel"):
        check_sound(model, 1, "the clip")


def runner_of(model: Any, dataset: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """As far as the hooks look."""
    for module in ("model_fit_hook", "checkpoint_fit"):
        monkeypatch.setattr(f"projects.cpm_avs.launch.{module}.BaseLoop", SimpleNamespace)
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))
    logger = logging.getLogger("test_model_fit")
    return SimpleNamespace(
        model=model, _train_loop=None, _val_loop=dict(), _test_loop=loop, logger=logger
    )


@pytest.mark.parametrize("wrapped", [False, True])
def test_sounds_have_the_channels_that_the_model_hears(
    wrapped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    init_default_scope("mmseg")
    settings: dict[str, Any] = dict(type="StampsDataset", split="test", subset="ms", num_scenes=1)
    settings.update(num_channels=2, pipeline=[])
    if wrapped:
        settings = dict(type="ConcatDataset", datasets=[settings])
    dataset = DATASETS.build(settings)
    model = SimpleNamespace(audio_backbone=SimpleNamespace(in_channels=1))
    with pytest.raises(ConfigError, match=r"in_channels is 1, .* of test_dataloader\.d.* has 2 ch"):
        ModelFitHook().before_run(runner_of(model, dataset, monkeypatch))
    loads = SimpleNamespace(transforms=[SimpleNamespace(num_samples=4, channels=1)])
    ModelFitHook().before_run(runner_of(model, SimpleNamespace(pipeline=loads), monkeypatch))


def test_a_checkpoint_of_other_classes_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = nn.Module()
    model.decode_head = nn.Module()
    model.decode_head.num_classes = 3
    data = SimpleNamespace(metainfo=dict(classes=("background", "cat", "dog")))
    runner, hook = runner_of(model, data, monkeypatch), CheckpointFitHook(source="file.pth")

    def load(*names: str) -> None:
        meta = dict(dataset_meta=dict(classes=names))
        hook.after_load_checkpoint(runner, dict(state_dict={}, meta=meta))

    with pytest.raises(CheckpointError, match=r"file\.pth: it knows 2 classes, the config has 3"):
        load("background", "cat")
    load("background", "cat", "dog")
    assert not caplog.text
    load("background", "dog", "cat")
    assert "its class 1 is 'dog', and that of test_dataloader.dataset 'cat'" in caplog.text
