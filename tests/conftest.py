"""Fixtures and markers that all tests share."""

import gc
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from peer_rule import Drawn

    from projects.cpm_avs.inference import AVSInferencer

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return  # it hands out tests, and others wait until it begins
    import torch

    # Before any test imports mmseg or mmdet: they look for mmcv's operators once and for all.
    import projects.cpm_avs  # noqa: F401
    from projects.cpm_avs.launch import keep_freed_memory

    # Tiny models: more threads cost more than they bring, and runs stay repeatable.
    torch.set_num_threads(1)
    keep_freed_memory()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    import torch

    # Processes take one file after the other, in this order: what they end with is short.
    files = Counter(item.path for item in items)
    slow = {item.path for item in items if "slow" in item.keywords}
    items.sort(key=lambda item: (item.path not in slow, -files[item.path]))
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(skip)


def pytest_collection_finish() -> None:
    # Or each collection of garbage looks through all that the tests import: half a second.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _nobody_waits() -> Iterator[None]:
    from no_waiting import spare

    with pytest.MonkeyPatch.context() as patch:
        spare(patch.setattr)
        yield


@pytest.fixture(scope="session")
def samples_dir() -> Path:
    """Folder with real clips, never part of the repository: `AVS_SAMPLES` or a sibling folder."""
    named = os.environ.get("AVS_SAMPLES")
    folder = Path(named) if named else ROOT.parent / "shared" / "samples"
    if not folder.is_dir():
        pytest.skip(f"no real samples at {folder}; set AVS_SAMPLES to the folder that has them")
    return folder


@pytest.fixture
def inferencer(tmp_path: Path) -> "AVSInferencer":
    """An inferencer with a model whose answers are known, see ``fake_segmentor``."""
    from fake_segmentor import write_model

    from projects.cpm_avs.inference import AVSInferencer

    return AVSInferencer(*write_model(tmp_path), device="cpu")


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options of ``compose`` that name six photographs a class, and six recordings."""
    from compose_sources import make_photos, make_sounds
    from composed_sets import CLASSES

    monkeypatch.chdir(tmp_path)
    make_photos(Path("photos"), [*CLASSES, "bike"])
    make_sounds(Path("sounds"), [*CLASSES, "rain"])
    return ["--photos", "photos", "--sounds", "sounds"]


@pytest.fixture(scope="module")
def bases_read_once() -> Iterator[None]:
    """For a file of tests that reads many configs: what they inherit is read once."""
    from config_leaves import read_bases_once

    with pytest.MonkeyPatch.context() as patch:
        read_bases_once(patch)
        yield


@pytest.fixture(scope="module")
def drawn() -> "Drawn":
    """Weights that a file's networks of one name and shape have in common."""
    return {}


@pytest.fixture
def mmseg_scope() -> None:
    """Names are looked up in mmseg's registries, as in a run."""
    from mmengine.registry import init_default_scope

    init_default_scope("mmseg")


@pytest.fixture(autouse=True)
def _no_log_file_of_another_test():
    """A server's logging set-up closes files that mmengine's loggers of earlier runs still hold."""
    yield
    from mmengine.logging import MMLogger

    MMLogger._instance_dict.clear()
