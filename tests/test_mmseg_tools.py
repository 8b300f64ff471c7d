"""mmseg's own tools and clients on this project's configs (docs/mmseg-tools.md)."""

import json
import runpy
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import mmseg
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.apis import MMSegInferencer, inference_model, init_model
from mmseg.registry import MODELS, TRANSFORMS
from new_process import python
from tiny import build_tiny, tiny_model_cfg
from tiny_config import shrink

import projects.cpm_avs.training  # noqa: F401  (registers the criterion)

ROOT = Path(__file__).resolve().parents[1]
THEIRS = Path(mmseg.__file__).parent / ".mim" / "tools"
STAMPS = ROOT / "configs" / "cpm_mbv2-yamnet_stamps.py"

# What each module of mmdet and mmseg has of mmcv's operators.
_LIST_OPERATORS = """
import sys
def operators():
    return {
        f"{module}.{name}": value.__module__
        for module, content in list(sys.modules.items())
        if module.split(".")[0] in ("mmdet", "mmseg")
        for name, value in vars(content).items()
        if str(getattr(value, "__module__", "")).startswith("mmcv.ops.")
    }
"""


@pytest.mark.slow
@pytest.mark.skipif(
    metadata.packages_distributions()["mmcv"] == ["mmcv-lite"],
    reason="upstream's mmseg can't be imported without operators, unless the project was before it",
)
def test_the_order_of_imports_does_not_matter() -> None:
    """Without compiled operators, mmdet binds substitutes for good if it is imported first."""
    code = (
        f"{_LIST_OPERATORS}\nimport json, mmseg.apis, projects.cpm_avs, projects.cpm_avs.training\n"
        "print(json.dumps(operators()))"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr[-2000:]
    later = json.loads(done.stdout.splitlines()[-1])
    here: dict[str, Any] = {}
    exec(_LIST_OPERATORS, here)  # of this process, which imported the project first
    first = here["operators"]()
    decoder = "mmdet.models.layers.msdeformattn_pixel_decoder.MultiScaleDeformableAttention"
    assert first[decoder] == later[decoder] == "mmcv.ops.multi_scale_deform_attn"
    assert later == {name: first[name] for name in later} and len(later) > 30


@pytest.fixture
def config(tmp_path: Path) -> str:
    """The small model's config, made tiny, as a file."""
    path = tmp_path / "tiny.py"
    shrink(Config.fromfile(STAMPS), narrow=False).dump(path)
    return str(path)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A command line of mmseg's, in a folder of its own, which is returned."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCAL_RANK", "0")

    def run_tool(name: str, *words: str) -> Path:
        monkeypatch.setattr(sys, "argv", [name, *words])
        runpy.run_path(str(THEIRS / f"{name}.py"), run_name="__main__")
        return tmp_path

    return run_tool


def test_the_whole_config_is_printed(run: Callable[..., Path], config: str) -> None:
    folder = run("misc/print_config", config, "--graph")
    assert "AVSegmentor" in (folder / "example-graph.txt").read_text()


def test_frames_per_second_are_measured(run: Callable[..., Path], config: str) -> None:
    with pytest.warns(RuntimeWarning):  # it wants 200 frames for a mean, and here are 2
        folder = run("analysis_tools/benchmark", config, "none.pth", "--work-dir", "speed")
    assert json.loads(next((folder / "speed").glob("fps_*.json")).read_text())["config"] == config


def test_what_mmsegs_clients_set_to_none_is_taken_and_nothing_else() -> None:
    unread = dict(pretrained=None, train_cfg=None, test_cfg=None)
    init_default_scope("mmseg")
    assert MODELS.build({**tiny_model_cfg(), **unread}).merge is not None
    for name in unread:
        with pytest.raises(ValueError, match=rf"model\.{name} is 'x', .* backbone\.init_cfg"):
            MODELS.build({**tiny_model_cfg(), name: "x"})


@pytest.mark.filterwarnings("ignore::UserWarning")  # of mmseg: there are no weights
def test_a_picture_alone_is_told_what_to_use_instead(config: str) -> None:
    model = init_model(config, device="cpu")
    picture = np.zeros((64, 64, 3), np.uint8)
    for _ in "ab":  # the first call changes the config
        with pytest.raises(ValueError, match="without sound.*docs/mmseg-tools.md"):
            inference_model(model, picture)
    for name in ("LoadAVSMask", "LoadAudioWindow", "LoadSoundMix", "PackAVSInputs"):
        given = dict(img=picture, ori_shape=(64, 64), img_shape=(64, 64))
        if name == "LoadAVSMask":  # a picture without a label is no mistake
            assert TRANSFORMS.build(dict(type=name))(given) is given
            continue
        with pytest.raises(ValueError, match="without sound"):
            TRANSFORMS.build(dict(type=name))(given)
    with pytest.raises(ValueError, match="without sound.*get_flops.py"):
        build_tiny().data_preprocessor(dict(inputs=[torch.zeros(3, 64, 64)]))
    with pytest.raises(ValueError, match="LoadImageFromFile is not found"):  # mmseg's own words
        MMSegInferencer(model=config, device="cpu")


@pytest.mark.parametrize(("key", "points"), [("loss", 2), ("dataset/mIoU", 2), ("mIoU", 0)])
def test_analyze_logs_draws_our_logs_by_our_names(
    key: str, points: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It only asks seaborn for a style."""
    log = tmp_path / "scalars.json"
    lines = [
        {"loss": 3.0, "iter": 10, "step": 10},
        {"dataset/mIoU": 1.0, "step": 10},
        {"loss": 2.0, "iter": 20, "step": 20},
        {"dataset/mIoU": 2.0, "step": 20},
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setitem(sys.modules, "seaborn", SimpleNamespace(set_style=lambda _: None))
    words = [str(log), "--keys", key, "--out", str(tmp_path / "a.png"), "--backend", "Agg"]
    monkeypatch.setattr(sys, "argv", ["analyze_logs.py", *words])
    drawn: list[int] = []
    monkeypatch.setattr(plt, "plot", lambda x, y, **_: drawn.append(len(y)))
    runpy.run_path(str(THEIRS / "analysis_tools" / "analyze_logs.py"), run_name="__main__")
    assert drawn == [points] and (tmp_path / "a.png").is_file()
