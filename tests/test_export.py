"""The exported graphs against the model, at sizes other than the traced one."""

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from new_process import python
from segments import drawing

from projects.cpm_avs.inference.export import (
    ExportableModel,
    RealSpectrogram,
    example_inputs,
    export_onnx,
    export_program,
)
from projects.cpm_avs.inference.model_loading import load_config
from projects.cpm_avs.launch import plain_errors
from projects.cpm_avs.models.mask_merge import MERGE_RULES, merge_max
from projects.cpm_avs.models.resizing import resizer
from projects.cpm_avs.models.spectrogram import stft_magnitude

ROOT = Path(__file__).resolve().parents[1]
SHAPES = dict(size=(64, 96), channels=1, num_samples=3200)


@pytest.fixture(scope="module")
def model():
    """The small model of the built-in data with fewer and narrower layers.

    The fewer, the sooner a graph is there: what is left out is more of the same.
    """
    config = load_config(None)
    init_default_scope("mmseg")
    torch.manual_seed(0)
    settings = config.model.copy()
    settings.update(criterion=None)
    settings.audio_backbone.update(out_indices=(2, 4, 6), frozen_stages=-1)
    settings.decode_head.update(
        embed_dims=32, num_queries=6, num_encoder_layers=1, feedforward_channels=32,
        num_audio_layers=1, num_visual_layers=1,
    )  # fmt: skip
    model = MODELS.build(settings).eval()
    for stage in model.backbone.stages[2:]:
        del stage[1:]
    return model


@pytest.fixture(scope="module")
def exportable(model):
    return ExportableModel(model)


def both_rules(*picture) -> torch.Tensor:
    """The paper's scores, and behind them Mask2Former's: (2 C, H, W)."""
    return torch.cat([MERGE_RULES[name].static(*picture) for name in ("max", "sum")])


@pytest.fixture(scope="module")
def program(model):
    """One graph for both rules: all else in it is the same, and takes half a minute to trace."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "merge", replace(MERGE_RULES["max"], static=both_rules))
        return export_program(model, **SHAPES)


@pytest.fixture
def expected(model, monkeypatch):
    """Both rules' scores of a picture and a sound, those that the model predicts."""

    def predict(img: torch.Tensor, waveform: torch.Tensor) -> torch.Tensor:
        found = []
        for name in ("max", "sum"):
            monkeypatch.setattr(model, "merge", MERGE_RULES[name])
            found.append(predicted(model, img, waveform))
        return torch.cat(found)[None]

    return predict


@torch.no_grad()
def predicted(model, img: torch.Tensor, waveform: torch.Tensor) -> torch.Tensor:
    batch = dict(img=[img[0].flip(0)], waveform=[waveform[0]])  # the preprocessor turns BGR to RGB
    return model.test_step(dict(inputs=batch))[0].seg_logits.data


def other_inputs() -> tuple[torch.Tensor, torch.Tensor]:
    return example_inputs(size=(128, 64), channels=1, num_samples=3200)


@pytest.mark.parametrize("drop_bin", ["nyquist", "dc"])
def test_spectrogram_without_complex_numbers(drop_bin):
    waveform = torch.rand(2, 2, 4001) * 2 - 1
    expected = stft_magnitude(waveform, drop_bin=drop_bin)
    torch.testing.assert_close(RealSpectrogram(drop_bin)(waveform), expected, atol=1e-4, rtol=0)


def test_scores_are_those_of_predict(model, exportable):
    expected = predicted(model, *other_inputs())
    with torch.no_grad():
        given = exportable(*other_inputs())[0]
    assert expected.max() > 0.01
    torch.testing.assert_close(given, expected, atol=1e-5, rtol=1e-4)


def test_merging_is_that_of_predict_whatever_is_named(exportable, monkeypatch):
    """Images whose queries name background and objects, objects alone, no-object alone."""
    generator = torch.Generator().manual_seed(0)
    cls_logits = torch.randn(3, 6, 26, generator=generator)
    cls_logits[0, :2, 0] = cls_logits[1, :3, 4] = 9.0
    cls_logits[0, 2:, 25] = cls_logits[1, 3:, 25] = cls_logits[2, :, 25] = 9.0
    masks = 3 * torch.randn(3, 6, 16, 16, generator=generator)
    output = drawing(torch.zeros(1), cls_logits[None], masks[None])
    monkeypatch.setattr(exportable.model, "encode_decode", lambda inputs, metas: output)
    given = exportable(torch.zeros(3, 3, 64, 64), torch.zeros(3, 1, 3200))
    to_size = resizer((64, 64), (64, 64), (64, 64))
    for own, *predicted in zip(given, cls_logits, masks, strict=True):
        torch.testing.assert_close(own, merge_max(*predicted, to_size))
    assert given[1, 0].max() > 0.5 and not given[2].any()


def test_torch_export_at_another_size_by_either_rule(exportable, program, expected):
    inputs = other_inputs()
    with torch.no_grad():
        given = program.module()(*inputs)
        torch.testing.assert_close(given[:, : given.shape[1] // 2], exportable(*inputs))
    for part in expected(*inputs).chunk(2, 1):
        assert part.max() > 0.01
    torch.testing.assert_close(given, expected(*inputs), atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_onnx_at_another_size_by_either_rule(program, expected, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    export_onnx(program, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(
        str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    for inputs in (example_inputs(**SHAPES), other_inputs()):
        names = dict(img=inputs[0].numpy(), waveform=inputs[1].numpy())
        np.testing.assert_allclose(session.run(None, names)[0], expected(*inputs), atol=1e-4)


@pytest.mark.parametrize(
    "size, message",
    [
        ((100, 96), "multiples of 32"),
        ((32, 96), "from 64 to 2048; choose others, or bind"),
        ((96, 2080), "from 64 to 2048; choose others, or bind"),
    ],
)
def test_size_that_does_not_fit(model, size, message):
    with pytest.raises(ValueError, match=message):
        export_program(model, size=size, channels=1, num_samples=3200)


def test_missing_checkpoint_is_one_sentence(tmp_path):
    tool = importlib.import_module("projects.cpm_avs.commands.export")
    with pytest.raises(SystemExit, match="^error: .*no such checkpoint"), plain_errors():
        tool.main(["--checkpoint", str(tmp_path / "none.pth")])


def test_without_the_training_part():
    program = (
        "import sys; sys.modules['projects.cpm_avs.training'] = None; "
        "import projects.cpm_avs.inference.export, projects.cpm_avs.inference.page"
    )
    done = python("-c", program)
    assert done.returncode == 0, done.stderr
