"""Checkpoints that nothing of ours wrote: forged, expanding, changed on the disk, or merely odd."""

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_segmentor import write_model
from mmengine.logging import HistoryBuffer
from torch import nn

from projects.cpm_avs.inference.model_loading import build_model, load_config
from projects.cpm_avs.safe_checkpoint import CheckpointError, check_fit, load_safely, weights_of

LINEAR = nn.Linear(2, 1).state_dict()


def save(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


class Called:
    """Pickled as a call of any class or function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


class Built(Called):
    """The same, with a state that is handed to what the call gives."""

    def __init__(self, function: Any, *arguments: Any, state: Any) -> None:
        super().__init__(function, *arguments)
        self.state = state

    def __reduce__(self) -> tuple[Any, ...]:
        return *self.call, self.state


reconstruct = np.zeros(0).__reduce__()[0]
scalar = np.float64(0).__reduce__()[0]
POINTERS = b"\x41" * 16  # two places in memory, if they are taken for objects


@pytest.mark.parametrize(
    "forged",
    [
        Called(np.ndarray, (2,), "O", POINTERS),
        Called(np.ndarray, (10**9,), "u1"),
        Called(np.dtype, "O", False, True),
        Called(scalar, np.dtype("O"), POINTERS),
        Called(scalar, np.dtype("f8"), b"1234"),
        Called(scalar, "f8", b"12345678"),
        Built(reconstruct, np.ndarray, (0,), b"b", state=(1, (2,), np.dtype("O"), False, POINTERS)),
        Built(reconstruct, np.ndarray, (0,), b"b", state=(1, (99,), np.dtype("f8"), False, b"1")),
        Built(reconstruct, np.ndarray, (0,), b"b", state=(1, (1,), np.dtype("f8"), False, [1.0])),
        Built(reconstruct, np.ndarray, (0,), b"b", state=7),
        Called(reconstruct, np.matrix, (0,), b"b"),
        Called(reconstruct, OrderedDict, (0,), b"b"),
        Called(HistoryBuffer, [1.0], [1]),
        Called(getattr, HistoryBuffer, "__init__"),
        Called(bytearray, 10**18),
    ],
    ids=lambda forged: f"{forged.call[0].__name__}-{getattr(forged, 'state', forged.call[1])}"[:60],
)
def test_what_is_forged_with_allowed_names_is_refused(forged: Called, tmp_path: Path) -> None:
    """The first one ended the process with a segmentation fault."""
    path = save(tmp_path / "forged.pth", dict(state_dict=LINEAR, meta=dict(time=forged)))
    with pytest.raises(CheckpointError, match=r"forged\.pth: "):
        load_safely(path)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
@pytest.mark.parametrize("kind", ["f8", ">f4", "i2", "bool"])
def test_arrays_come_back_in_every_form(shape: tuple[int, ...], kind: str, tmp_path: Path) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(kind)
    content = dict(array=array, columns=np.asfortranarray(array), number=array.dtype.type(1))
    loaded = load_safely(save(tmp_path / "arrays.pth", content))
    np.testing.assert_array_equal(loaded["array"], array)
    np.testing.assert_array_equal(loaded["columns"], array)
    assert loaded["array"].dtype == array.dtype.newbyteorder("=") and loaded["number"] == 1
    assert type(loaded["array"]) is np.ndarray


def test_histories_come_back_in_all_containers(tmp_path: Path) -> None:
    history = HistoryBuffer([1.0, 3.0], [1, 1])
    content = dict(one=history, more=[(history, dict(deep=history))])
    loaded = load_safely(save(tmp_path / "histories.pth", content))
    for found in (loaded["one"], loaded["more"][0][0], loaded["more"][0][1]["deep"]):
        assert type(found) is HistoryBuffer and found.mean() == 2.0
        found.update(5.0)


def test_a_compressed_archive_is_not_unpacked(tmp_path: Path) -> None:
    """A gigabyte of zeros takes a megabyte in one."""
    path, packed = save(tmp_path / "whole.pth", LINEAR), tmp_path / "packed.pth"
    with (
        zipfile.ZipFile(path) as source,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(CheckpointError, match=r"packed\.pth.*data\.pkl in it is compressed"):
        load_safely(packed)


def test_an_archive_that_names_one_part_many_times_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "twice.pth", dict(weight=torch.ones(4000)))
    with zipfile.ZipFile(path, "a") as archive:  # writes the list of parts anew
        archive.filelist.extend([archive.getinfo("twice/data/0")] * 3)
        archive._didModify = True
    with pytest.raises(CheckpointError, match="larger than the file|Overlapped"):
        load_safely(path)


@pytest.mark.parametrize("size", [1, 512])
def test_bytes_that_changed_on_the_disk_are_noticed(size: int, tmp_path: Path) -> None:
    path = save(tmp_path / "zeros.pth", dict(weight=torch.ones(4000)))
    data = bytearray(path.read_bytes())
    data[8000 : 8000 + size] = bytes(size) if data[8000 : 8000 + size] != bytes(size) else b"\1"
    path.write_bytes(data)
    assert not torch.load(path)["weight"].equal(torch.ones(4000))  # torch does not notice
    with pytest.raises(CheckpointError, match=r"zeros\.pth.*checksum of zeros/data/0"):
        load_safely(path)


def deep_pickle(depth: int) -> bytes:
    """Lists in lists, deeper than Python's own pickler goes."""
    return b"\x80\x02}X\x01\x00\x00\x00a" + b"]" * (depth + 1) + b"a" * depth + b"s."


def as_checkpoint(pickled: bytes, path: Path) -> Path:
    whole = io.BytesIO()
    torch.save({}, whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, pickled if name.endswith("data.pkl") else source.read(name))
    return path


@pytest.mark.parametrize("depth", [100, 100_000])
def test_what_is_nested_too_deep_is_refused(depth: int, tmp_path: Path) -> None:
    path = as_checkpoint(deep_pickle(depth), tmp_path / "deep.pth")
    with pytest.raises(CheckpointError, match=r"deep\.pth.*nested more than"):
        load_safely(path)


def test_what_is_shared_is_looked_at_once(tmp_path: Path) -> None:
    """40 pairs, each of the one before it: a million million leaves, if each were followed."""
    pair: Any = (1, 1)
    for _ in range(40):
        pair = (pair, pair)
    itself: list[Any] = []
    itself.append(itself)
    loaded = load_safely(save(tmp_path / "shared.pth", dict(pair=pair, itself=itself)))
    assert loaded["itself"][0] is loaded["itself"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(1)], "holds a list"),
        (torch.ones(1), "holds a Tensor"),
        ("state_dict", "holds a str"),
        ({1: torch.ones(1)}, "the key 1"),
        (dict(state_dict={0: torch.ones(1)}), "the key 0"),
        (dict(state_dict=[torch.ones(1)]), "its state_dict is a list, not a dict"),
        (dict(state_dict=torch.ones(1)), "its state_dict is a Tensor, not a dict"),
        (dict(state_dict=LINEAR, meta="made in 2020"), "its meta is a str, not a dict"),
    ],
)
def test_odd_contents_are_named(content: Any, message: str, tmp_path: Path) -> None:
    path = save(tmp_path / "odd.pth", content)
    with pytest.raises(CheckpointError, match=rf"odd\.pth.*{message}"):
        load_safely(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "int"),
        (dict(a=torch.ones(1)), "dict"),
        (torch.eye(2).to_sparse(), "sparse"),
        (torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8), "quantised"),
        (torch.ones(2, device="meta"), "2 numbers with 0 bytes"),
        (torch.ones(1).expand(10**12), "1000000000000 numbers with 4 bytes"),
    ],
)
def test_what_is_no_weight_is_named(value: Any, message: str, tmp_path: Path) -> None:
    path = save(tmp_path / "odd.pth", dict(state_dict={"module.weight": value}))
    with pytest.raises(CheckpointError, match=rf"odd\.pth: its 'module\.weight' is a.*{message}"):
        weights_of(load_safely(path), path)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize(
    "text", [b"version https://git-lfs.github.com/spec/v1\n", b"<!DOCTYPE html><html lang='en'>"]
)
def test_a_text_in_place_of_a_download_is_told(name: str, text: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text)
    with pytest.raises(CheckpointError, match=r"it is a text that begins with .*git lfs pull"):
        load_safely(tmp_path / name)


def test_an_ordered_dict_brings_no_attributes_along(tmp_path: Path) -> None:
    weights = OrderedDict(weight=torch.ones(1))
    weights._metadata = OrderedDict({"": dict(version=2)})
    weights.keys = 5
    loaded = load_safely(save(tmp_path / "attributes.pth", dict(state_dict=weights)))["state_dict"]
    assert list(loaded.keys()) == ["weight"]
    assert vars(loaded) == dict(_metadata={"": dict(version=2)})


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(number: float) -> None:
    model = nn.Sequential(nn.Linear(2, 1))
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    check_fit(model, weights, "file.pth")
    weights["0.weight"][0, 1] = number
    with pytest.raises(CheckpointError, match=r"file\.pth: NaN or infinite: 0\.weight\."):
        check_fit(model, weights, "file.pth")
    half = {key: value.half() for key, value in weights.items()}
    with pytest.raises(CheckpointError, match=r"0\.weight"):
        check_fit(model, half, "file.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: next(iter(content["state_dict"].values())).fill_(torch.nan), "NaN"),
        (lambda content: content["meta"].update(dataset_meta=dict(classes=7)), "class names.* int"),
        (lambda content: content["meta"].update(dataset_meta=dict(classes=[1, 2])), "class names"),
        (lambda content: content["meta"].update(dataset_meta=["cat", 3]), "class names.* list"),
        (lambda content: content.update(state_dict={}), "is missing"),
    ],
)
def test_inference_refuses_them_in_one_sentence(change: Any, message: str, tmp_path: Path) -> None:
    config, path = write_model(tmp_path)
    content = load_safely(path)
    content.setdefault("meta", {})
    change(content)
    save(path, content)
    with pytest.raises(CheckpointError, match=message) as refused:
        build_model(load_config(config), path, "cpu")
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_a_mask_of_infinities_that_the_model_has_by_itself_passes() -> None:
    model = nn.Module()
    model.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    check_fit(model, model.state_dict(), "file.pth")


def test_files_of_old_torch_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "vggish.pth"
    torch.save(LINEAR, path, _use_new_zipfile_serialization=False)
    assert torch.equal(load_safely(path)["weight"], LINEAR["weight"])
    path.write_bytes(pickle.dumps(dict(a=1), protocol=2)[:-3])
    with pytest.raises(CheckpointError, match=r"vggish\.pth"):
        load_safely(path)
