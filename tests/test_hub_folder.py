"""safetensors, and a model as a folder in the hub's layout: the same predictions, and no code."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import make_clip
from typed_tools import tool

from projects.cpm_avs import AVSInferencer
from projects.cpm_avs.config_files import ConfigError
from projects.cpm_avs.inference.model_loading import find_checkpoint
from projects.cpm_avs.launch import plain_errors
from projects.cpm_avs.safe_checkpoint import CheckpointError, load_safely

pytest.importorskip("safetensors", reason="tools/setup_env.sh installs it")
METRICS = dict(
    unit="percent",
    audio=["normal"],
    results=[dict(protocol="dataset", subset="total", frames=500, scores=dict(mIoU=56.288))],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model, as the command writes it."""
    made = tmp_path_factory.mktemp("hub")
    (made / "metrics.json").write_text(json.dumps(METRICS))
    words = ["cpm_efflite0-yamnet_real", find_checkpoint(None, None), made / "model"]
    words += ["--metrics", made / "metrics.json"]
    tool("hub_folder").main([str(word) for word in words])
    return made / "model"


def test_it_predicts_the_same(folder: Path, tmp_path: Path) -> None:
    sound = np.random.default_rng(0).normal(0, 0.3, (1, 8000)).astype(np.float32)
    make_clip(tmp_path / "clip.mp4", frames=3, sound=sound)
    expected, got = AVSInferencer(), AVSInferencer.from_pretrained(folder, device="cpu")
    assert got.classes == expected.classes
    assert got.preparation.num_samples == expected.preparation.num_samples
    state = expected.model.state_dict()
    assert state.keys() == got.model.state_dict().keys()
    assert all(torch.equal(state[key], value) for key, value in got.model.state_dict().items())
    maps = [
        np.stack([frame.class_map for frame in one(tmp_path / "clip.mp4").frames])
        for one in (expected, got)
    ]
    assert np.array_equal(*maps)


def test_the_card_has_what_was_measured(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    assert "- dataset, total, 500 frames: mIoU 56.29\n" in card
    assert "| Sound | YAMNet" in card and ": airplane, bird, car, cat, " in card


@pytest.mark.parametrize(
    "content", [b"{", b"\xff\xfe", b"[" * 20000, b"[1]", b"5", b'{"mIoU": 1}', b'{"results": [{}]}']
)
def test_metrics_that_are_none_are_told_and_nothing_is_written(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "m.json").write_bytes(content)
    words = ["cpm_efflite0-yamnet_real", find_checkpoint(None, None), tmp_path / "model"]
    words += ["--metrics", tmp_path / "m.json"]
    with pytest.raises(SystemExit, match="^error: .* give the metrics.json"), plain_errors():
        tool("hub_folder").main([str(word) for word in words])
    assert not (tmp_path / "model").exists()


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    """A folder with them could be loaded by nobody."""
    words = ["cpm_mbv2-yamnet_stamps", find_checkpoint(None, None), tmp_path / "model"]
    with pytest.raises(ValueError, match="classes"):
        tool("hub_folder").main([str(word) for word in words])
    (tmp_path / "model" / "README.md").mkdir(parents=True)
    words[0] = "cpm_mbv2-yamnet_real"
    with pytest.raises(IsADirectoryError, match="README.md"):
        tool("hub_folder").main([str(word) for word in words])
    assert [one.name for one in (tmp_path / "model").iterdir()] == ["README.md"]


@pytest.mark.parametrize(
    "change, said",
    [
        (dict(_base_=["evil.py"]), "it has _base_, which leads to code"),
        (dict(custom_imports=dict(imports=["evil"])), "it has custom_imports, which leads to"),
        (dict(model=dict(type="os.system")), "model.type is 'os.system', a path to code"),
        (dict(model=dict(type="mmengine.load")), "model.type is 'mmengine.load', a path to code"),
        (dict(model=None), "no settings of a model"),
    ],
)
def test_a_config_of_the_hub_is_data(folder: Path, tmp_path: Path, change: dict, said: str) -> None:
    settings = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**settings, **change}))
    with pytest.raises(ConfigError, match=said):
        AVSInferencer.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["gone", "/gone/away", "a/b/c", "./gone"])
def test_what_is_neither_here_nor_a_repository_is_told(name: str) -> None:
    with pytest.raises(ValueError, match="no such folder, and a hub's model is OWNER/MODEL"):
        AVSInferencer.from_pretrained(name)


def test_a_repository_is_asked_of_the_hubs_client(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    asked = []

    def give(name: str, **options: object) -> str:
        asked.append((name, options["revision"]))
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", give)
    AVSInferencer.from_pretrained("somebody/model", revision="v1", device="cpu")
    assert asked == [("somebody/model", "v1")]

    def fail(name: str, **options: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(ValueError, match=r"somebody/model: no such folder.*no network.*Download"):
        AVSInferencer.from_pretrained("somebody/model")


def test_published_as_safetensors(tmp_path: Path) -> None:
    weights = dict(a=torch.arange(6.0).view(2, 3).t(), b=torch.tensor(2))
    meta = dict(dataset_meta=dict(classes=("background", "dog")), iter=7)
    content = dict(state_dict={**weights, "criterion.bank": torch.ones(3)}, meta=meta)
    torch.save(content, tmp_path / "in.pth")
    path = tool("publish_model").publish(tmp_path / "in.pth", tmp_path / "out.safetensors")
    read = load_safely(path)
    assert read["meta"] == dict(dataset_meta=dict(classes=["background", "dog"]), iter=7)
    assert read["state_dict"].keys() == weights.keys()
    assert all(torch.equal(read["state_dict"][key], value) for key, value in weights.items())
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match="out-.*truncated or damaged"):
        load_safely(path)
