"""The stronger eyes and ears in a whole model: exact resume and export, tiny."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from resuming import assert_same
from tiny import OneStepDecoder, build_tiny, tiny_model_cfg
from tiny_config import SMALL_EYES
from tiny_run import write_config

from projects.cpm_avs.inference.export import ExportableModel, example_inputs, export_program
from projects.cpm_avs.safe_checkpoint import load_safely

#: What hears beside each of the eyes: a run tests both.
EARS: dict[str, dict[str, Any]] = {
    "mmdet.PyramidVisionTransformerV2": dict(type="TinyAudioBackbone"),
    "SwinTransformer": dict(type="Cnn14", out_indices=(1, 2)),
    "DINOv2": dict(type="HTSAT", embed_dims=16, depths=(2, 1, 1), num_heads=(1, 2, 4)),
}


def settings(eyes: str, **changed: Any) -> dict[str, Any]:
    small, channels = SMALL_EYES[eyes]
    drop_path = {} if eyes == "DINOv2" else dict(drop_path_rate=0.3)
    return tiny_model_cfg(
        backbone=dict(type=eyes, **small, **drop_path),
        audio_backbone=EARS[eyes],
        decode_head=dict(in_channels=channels),
        **changed,
    )


@pytest.mark.parametrize("eyes", SMALL_EYES)
def test_a_resumed_run_is_the_whole_one_to_the_bit(eyes: str, tmp_path: Path) -> None:
    config = write_config(tmp_path / "cfg.py", settings(eyes), batch_size=2, max_iters=6)
    ends = []
    for name, start in (("whole", {}), ("resumed", dict(resume=True))):
        cfg = Config.fromfile(config)
        if start:
            cfg.load_from = str(tmp_path / "whole/iter_4.pth")
        cfg.update(work_dir=str(tmp_path / name), experiment_name=name, **start)
        Runner.from_cfg(cfg).train()
        ends.append(load_safely(tmp_path / name / "iter_6.pth"))
    assert_same(*ends)


@pytest.mark.parametrize("eyes", SMALL_EYES)
def test_the_exported_program_computes_the_same(eyes: str) -> None:
    """At a fixed size: Swin's windows make a graph of free sizes a matter of minutes."""
    model = build_tiny(settings(eyes, criterion=None)).eval()
    model.decode_head.pixel_decoder = OneStepDecoder(SMALL_EYES[eyes][1])
    shapes = dict(size=(64, 96), channels=1, num_samples=3200)
    program = export_program(model, **shapes, dynamic=False)
    inputs = example_inputs(**shapes)
    with torch.no_grad():
        expected = ExportableModel(model)(*inputs)
        torch.testing.assert_close(program.module()(*inputs), expected, atol=1e-5, rtol=1e-4)
