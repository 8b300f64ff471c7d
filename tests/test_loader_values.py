"""Settings of a data loader that torch would fail on, late or with a traceback."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from projects.cpm_avs.config_files import ConfigError
from projects.cpm_avs.launch import read_config

STAMPS = str(Path(__file__).resolve().parents[1] / "configs" / "cpm_mbv2-yamnet_stamps.py")
SETTINGS = [*inspect.signature(DataLoader).parameters, "num_batch_per_epoch"]


@pytest.mark.parametrize("key", SETTINGS)
def test_no_setting_takes_nonsense(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"^test_dataloader\.{key}\b.*nonsense"):
        read_config(STAMPS, {f"test_dataloader.{key}": "nonsense"})


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("generator", 5, "is 5; leave it out: draws follow from randomness.seed"),
        ("pin_memory_device", "gpu9", "is 'gpu9'; leave it out, or give a device such as 'cuda'"),
        ("pin_memory_device", [1], "give a device such as"),
        ("multiprocessing_context", "forkk", "did you mean 'fork'"),
        ("multiprocessing_context", 3, "give fork, spawn, forkserver or None"),
        ("worker_init_fn", None, "leave it out, or give dict"),
        ("worker_init_fn", dict(seed=1), "leave it out, or give dict"),
        ("worker_init_fn.type", "worker_ini", "is 'worker_ini', which is not registered"),
        ("collate_fn", [1], "leave it out, or give dict"),
        ("collate_fn", None, "leave it out, or give dict"),
        ("sampler", [1, 2], "give dict"),
        ("batch_sampler", [[1, 2]], "give dict"),
        ("shuffle", True, r"leave it out: the sampler shuffles \(sampler.shuffle\)"),
        ("timeout", float("inf"), "give 0 or more seconds"),
        ("timeout", None, "give 0 or more seconds"),
        ("in_order", None, "give True or False"),
        ("in_order", 2, "give True or False"),
        ("disable_subprocess_warning", 1, "give True or False"),
        ("num_batch_per_epoch", 1.5, "give 1 or more, a whole number"),
    ],
)
def test_values_are_told_with_what_to_give(key: str, value: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=rf"^train_dataloader\.{re.escape(key)} .*{sentence}"):
        read_config(STAMPS, {f"train_dataloader.{key}": value})


def test_what_only_workers_have_is_nothing_without_workers() -> None:
    loader = dict(
        num_workers=0, timeout=9, prefetch_factor=2, multiprocessing_context="fork",
        persistent_workers=True, generator=None, in_order=False, pin_memory_device="", shuffle=None,
    )  # fmt: skip
    cfg = read_config(STAMPS, {f"val_dataloader.{key}": value for key, value in loader.items()})
    init_default_scope("mmseg")
    built = Runner.build_dataloader(cfg.val_dataloader)
    assert len(next(iter(built))["data_samples"]) == cfg.val_dataloader.batch_size
