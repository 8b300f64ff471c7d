"""Keys that nobody reads are refused with the nearest one that somebody does."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from config_leaves import read_once
from mmengine.config import Config
from mmengine.runner import Runner

from projects.cpm_avs.config_files import ConfigError
from projects.cpm_avs.launch import read_config
from projects.cpm_avs.launch.config_keys import READ

pytestmark = pytest.mark.usefixtures("bases_read_once")

ROOT = Path(__file__).resolve().parents[1]
STAMPS, AVSS = (str(ROOT / "configs" / f"cpm_{n}.py") for n in ("mbv2-yamnet_stamps", "r50_avss"))


def test_all_that_the_runner_looks_up_is_known() -> None:
    looked_up = re.findall(r"\bcfg(?:\.get\(|\[)\s*'(\w+)'", inspect.getsource(Runner))
    assert "sync_bn" in looked_up and set(looked_up) <= READ


@pytest.mark.parametrize(
    ("config", "option", "instead"),
    [
        (STAMPS, "num_classes", "set model.decode_head.num_classes$"),
        (STAMPS, "img_scale", "set train_dataloader.dataset.image_size, val_dataloader.dat"),
        (STAMPS, "audio_channels", "set model.audio_backbone.in_channels$"),
        (AVSS, "crop_size", "set train_dataloader.dataset.pipeline.3.crop_size, train_data"),
        (AVSS, "dataset.data_root", "set train_dataloader.dataset.data_root, val_dataloade"),
        (AVSS, "train_loader.batch_size", "set train_dataloader.batch_size$"),
        (AVSS, "no_decay.decay_mult", r"custom_keys.query_embed.decay_mult, .* and \d+ more$"),
        (AVSS, "vis_backends.0.x", "set visualizer.vis_backends.0.x$"),
        (AVSS, "load_visual.0.strict", f"write a config with {AVSS} as its _base_"),
        (AVSS, "custom_imports.imports", f"write a config with {AVSS} as its _base_"),
        (AVSS, "train_cgf.max_epochs", r"did you mean train_cfg.max_epochs\?"),
        (AVSS, "optim_wraper.optimizer.lr", "optim_wrapper.optimizer.lr"),
        (AVSS, "optimizer.lr", "set optim_wrapper.optimizer.lr$"),
        (AVSS, "lr", "set optim_wrapper.optimizer.lr$"),
        (AVSS, "max_epochs", "set train_cfg.max_epochs$"),
        (AVSS, "data_preprocessor.size_divisor", "set model.data_preprocessor.size_divisor$"),
        (AVSS, "launcher", "give --launcher"),
        (AVSS, "resume", "give --resume to tools/train.py"),
        (AVSS, "no_such_thing", "the keys are auto_scale_lr, default_hooks"),
    ],
)
def test_options_that_change_nothing_are_refused(config: str, option: str, instead: str) -> None:
    with pytest.raises(ConfigError, match=rf"^--cfg-options {option}: .*{instead}"):
        read_config(config, {option: 5}, read=read_once)


def test_options_that_are_read_are_set() -> None:
    settings: dict[str, Any] = {
        "model.decode_head.num_heads": 4,  # which no file has
        "randomness.seed": 1,
        "sync_bn": "torch",
        "experiment_name": "x",
        "test_evaluator.0.prefix": "p",
    }
    cfg = read_config(STAMPS, settings, read=read_once)
    assert cfg.model.decode_head.num_heads == 4 and cfg.randomness == dict(seed=1)
    assert cfg.sync_bn == "torch" and cfg.test_evaluator[0].prefix == "p"


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("train_cgf", "train_cfg"),
        ("optim_wraper", "optim_wrapper"),
        ("custom_hook", "custom_hooks"),
    ],
)
def test_a_slip_in_a_file_is_refused(tmp_path: Path, slip: str, meant: str) -> None:
    path = tmp_path / "c.py"
    path.write_text(f"_base_ = {STAMPS!r}\n{slip} = dict(type='X')\n")
    with pytest.raises(ConfigError, match=f"c.py: nothing reads '{slip}'; did you mean '{meant}'"):
        read_config(str(path))


@pytest.mark.parametrize("key", ["data", "optimizer", "lr_config", "seed"])
def test_a_key_of_earlier_configs_is_refused(tmp_path: Path, key: str) -> None:
    """A copy of a config for MMSegmentation 0.x trained with the base's settings."""
    path = tmp_path / "c.py"
    value = "3" if key == "seed" else "dict(lr=1)"
    path.write_text(f"_base_ = {STAMPS!r}\n{key} = {value}\n")
    with pytest.raises(ConfigError, match=f"c.py: nothing reads '{key}', .* before 1.0; now it is"):
        read_config(str(path))
    use = "dict(seed=seed)" if key == "seed" else f"dict(optimizer={key})"
    name = "randomness" if key == "seed" else "optim_wrapper"
    path.write_text(f"_base_ = {STAMPS!r}\n{key} = {value}\n{name} = {use}\n")
    cfg = read_config(str(path))
    cfg.dump(path)  # where nothing uses it any more
    assert read_config(str(path))[name] == cfg[name]


def test_a_model_of_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "c.py"
    path.write_text(f"_base_ = {STAMPS!r}\nmodel = None\n")
    with pytest.raises(ConfigError, match="it has no model; give a whole config"):
        read_config(str(path))


def test_variables_of_ones_own_are_welcome(tmp_path: Path) -> None:
    """One that the files use, whatever it is called, and one that only code can read."""
    path = tmp_path / "c.py"
    path.write_text(
        f"_base_ = {STAMPS!r}\n"
        "model_ = dict(merge='sum')  # used below\n"
        "model = model_\n"
        "data_root, for_my_hook = 'x', 1\n"
    )
    cfg = read_config(str(path), {"for_my_hook": 2})
    assert cfg.model["merge"] == "sum" and cfg.for_my_hook == 2
    with pytest.raises(ConfigError, match="'model_' is only used while"):
        read_config(str(path), {"model_.merge": "max"})


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("cpm_*.py")), ids=lambda p: p.stem)
def test_every_config_passes(path: Path) -> None:
    assert isinstance(read_config(str(path)), Config)
