"""Checkpoints: what a run saves comes back; what wants to run code, or is damaged, is refused."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel, PretrainedInit
from mmengine.runner import CheckpointLoader, Runner, load_checkpoint
from mmengine.runner.checkpoint import load_from_http
from torch import nn

from projects.cpm_avs.safe_checkpoint import CheckpointError, load_safely


class _Touch:
    """Unpickling this creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


class _Attribute:
    """Unpickling this asks ``getattr`` for any attribute of an allowed class."""

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (HistoryBuffer, "__init__")


class _ToyModel(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = "loss") -> dict:
        return {"loss": self.linear(inputs).square().mean()}


@pytest.fixture
def trap(tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint that creates a file when it is unpickled, and that file."""
    sprung = tmp_path / "sprung"
    path = tmp_path / "trap.pth"
    torch.save({"state_dict": {"weight": torch.ones(2)}, "meta": _Touch(sprung)}, path)
    return path, sprung


def _runner(work_dir: Path, max_iters: int, **extra: Any) -> Runner:
    return Runner(
        model=_ToyModel(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=1,
            dataset=[torch.ones(2) * i for i in range(8)],
            sampler=dict(type="DefaultSampler", shuffle=False),
            collate_fn=lambda items: dict(inputs=torch.stack(items)),
        ),
        train_cfg=dict(by_epoch=False, max_iters=max_iters),
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=0.1)),
        param_scheduler=dict(type="PolyLR", power=0.9, by_epoch=False, end=8),
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=2, by_epoch=False)),
        default_scope="mmengine",
        experiment_name=f"{work_dir.name}-{max_iters}",
        **extra,
    )


def test_what_a_run_saves_comes_back_and_resumes(tmp_path: Path) -> None:
    first = _runner(tmp_path, 4)
    first.train()
    path = tmp_path / "iter_4.pth"
    saved = load_safely(path)
    history = saved["message_hub"]["log_scalars"]["train/loss"]
    assert history.statistics("mean") == pytest.approx(history.data[0].mean())
    assert saved["meta"]["iter"] == 4

    second = _runner(tmp_path, 8, resume=True)
    second.load_or_resume()
    assert second.iter == 4
    weights = second.model.state_dict()
    assert all(torch.equal(weights[name], saved["state_dict"][name]) for name in weights)
    second.train()
    assert second.iter == 8


def test_numpy_numbers_and_arrays_of_every_kind_come_back(tmp_path: Path) -> None:
    content = {name: np.ones(3, name) for name in ("int64", "float32", "bool", "uint8")}
    content["best"] = np.float64(0.5)
    torch.save(content, tmp_path / "numbers.pth")
    loaded = load_safely(tmp_path / "numbers.pth")
    assert loaded["best"] == 0.5
    for name in ("int64", "float32", "bool", "uint8"):
        np.testing.assert_array_equal(loaded[name], content[name])


def test_the_trap_works_without_the_guard(trap: tuple[Path, Path]) -> None:
    path, sprung = trap
    torch.load(path, weights_only=False)  # shows that the other tests would notice
    assert sprung.exists()


@pytest.mark.parametrize(
    "reader", ["load_safely", "load_checkpoint", "loader", "init_cfg", "runner"]
)
def test_a_file_that_runs_code_is_refused_by_every_door(
    reader: str, trap: tuple[Path, Path], tmp_path: Path
) -> None:
    path, sprung = trap
    with pytest.raises(CheckpointError, match=r"trap\.pth.*system.*save the bare state_dict"):
        if reader == "load_safely":
            load_safely(path)
        elif reader == "load_checkpoint":
            load_checkpoint(_ToyModel(), str(path))
        elif reader == "loader":
            CheckpointLoader.load_checkpoint(str(path), "cpu")
        elif reader == "init_cfg":
            model = _ToyModel()
            model.init_cfg = dict(type="Pretrained", checkpoint=str(path))
            model.init_weights()
        else:
            _runner(tmp_path / "run", 1, load_from=str(path)).train()
    assert not sprung.exists()


def test_a_config_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    """MMEngine builds ``meta['config']``, Python's source, when a run is resumed."""
    _runner(tmp_path, 2).train()
    saved = load_safely(tmp_path / "iter_2.pth")
    sprung = tmp_path / "sprung"
    saved["meta"]["config"] = f"open({str(sprung)!r}, 'w').close()"
    torch.save(saved, tmp_path / "foreign.pth")
    runner = _runner(tmp_path, 4, resume=True, load_from=str(tmp_path / "foreign.pth"))
    runner.load_or_resume()
    assert runner.iter == 2 and not sprung.exists()


@pytest.mark.parametrize("address", ["https://example.org/trap.pth", "open-mmlab://trap"])
def test_downloads_that_run_code_are_refused(
    address: str, trap: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in torch.hub's cache is read without a download."""
    path, sprung = trap
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("MMENGINE_HOME", str(tmp_path))
    (tmp_path / "open_mmlab.json").write_text('{"trap": "trap.pth"}')
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    cache.mkdir(parents=True)
    if address.startswith("https"):
        path.rename(cache / "trap.pth")
    with pytest.raises(CheckpointError, match=r"trap\.pth.*system"):
        CheckpointLoader.load_checkpoint(address, "cpu")
    assert not sprung.exists()


def test_a_download_that_fails_names_the_address_and_the_way_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"file:.*gone\.pth.*init_cfg=None"):
        load_from_http((tmp_path / "gone.pth").as_uri())


def test_history_may_name_its_statistics_only(tmp_path: Path) -> None:
    torch.save({"history": _Attribute()}, tmp_path / "forged.pth")
    with pytest.raises(CheckpointError, match="__init__"):
        load_safely(tmp_path / "forged.pth")


def test_damage_is_named(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pth"
    torch.save({"state_dict": {"weight": torch.arange(1000.0)}}, whole)
    data = whole.read_bytes()
    for size in (0, 1, 10, len(data) // 2, len(data) - 10):
        cut = tmp_path / f"cut{size}.pth"
        cut.write_bytes(data[:size])
        with pytest.raises(CheckpointError, match=cut.name):
            load_safely(cut)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>not found</html>", "no checkpoint"),
        (pickle.dumps({"a": 1}, protocol=2)[:-3], "bad.pth"),
        (pickle.dumps([1, 2], protocol=2), "bad.pth"),
    ],
)
def test_other_files_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_safely(path)


def test_a_list_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="holds a list"):
        load_safely(tmp_path / "list.pth")


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="folder"):
        load_safely(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"gone\.pth.*prepare_weights"):
        load_checkpoint(_ToyModel(), str(tmp_path / "gone.pth"))


@pytest.mark.parametrize("begins", ["load_from", "init_cfg", "prefix"])
def test_weights_of_another_network_are_refused(begins, tmp_path) -> None:
    """Mmengine warned, and trained from random weights."""
    path = tmp_path / "a.pth"
    torch.save({"state_dict": {"part.other.weight": torch.ones(2, 2)}}, path)
    network = nn.Linear(2, 2)
    prefix = {"prefix": "part."} if begins == "prefix" else {}
    told = r"a.pth: none of its weights \(.*other.weight\) fits Linear \(weight, bias\)"
    with pytest.raises(CheckpointError, match=told):
        if begins == "load_from":
            load_checkpoint(network, str(path))
        else:
            PretrainedInit(str(path), **prefix)(network)
    torch.save({"state_dict": {"part.weight": torch.ones(2, 2)}}, path)
    PretrainedInit(str(path), prefix="part.")(network)  # in part
    assert network.weight.equal(torch.ones(2, 2))
