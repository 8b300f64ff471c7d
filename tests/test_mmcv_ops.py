"""The stand-in for mmcv's compiled operators, with and without them."""

import importlib.util
import re
import sys
from importlib import metadata
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest
import torch

from projects.cpm_avs.mmcv_ops import ensure_mmcv_ops, install_command

COMPILED = ensure_mmcv_ops()


@pytest.fixture
def no_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide ``mmcv._ext``, as on a machine where pip took mmcv without building it."""
    find_spec = importlib.util.find_spec

    def hide(name: str, package: str | None = None) -> Any:
        return None if name == "mmcv._ext" else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", hide)
    monkeypatch.delitem(sys.modules, "mmcv._ext")


@pytest.mark.parametrize(
    "package, command",
    [
        ("onedl-mmcv", r"pip install .*--no-binary onedl-mmcv onedl-mmcv==2\.3"),
        ("mmcv-lite", r"pip uninstall --yes mmcv-lite; MMCV_WITH_OPS=1 pip install .* mmcv==2\.3"),
    ],
)
def test_the_command_is_for_the_family_that_is_installed(
    monkeypatch: pytest.MonkeyPatch, package: str, command: str
) -> None:
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"mmcv": [package]})
    monkeypatch.setattr(metadata, "version", {package: "2.3"}.__getitem__)
    assert re.fullmatch(command, install_command())


def test_mmcv_ops_and_mmdet_import() -> None:
    from mmcv.ops import MultiScaleDeformableAttention
    from mmdet.models.layers import MSDeformAttnPixelDecoder

    assert {MultiScaleDeformableAttention.__module__, MSDeformAttnPixelDecoder.__module__} == {
        "mmcv.ops.multi_scale_deform_attn",
        "mmdet.models.layers.msdeformattn_pixel_decoder",
    }


def test_deformable_attention_runs_on_the_cpu() -> None:
    from mmcv.ops import MultiScaleDeformableAttention

    attention = MultiScaleDeformableAttention(8, num_heads=2, num_levels=1, num_points=2)
    out = attention(
        torch.ones(6, 1, 8),
        value=torch.ones(6, 1, 8),
        reference_points=torch.full((1, 6, 1, 2), 0.5),
        spatial_shapes=torch.tensor([[2, 3]]),
        level_start_index=torch.tensor([0]),
    )
    assert out.shape == (6, 1, 8)
    assert out.isfinite().all()


def test_a_missing_operator_names_the_command(no_extension: None) -> None:
    assert ensure_mmcv_ops() is False
    assert ensure_mmcv_ops() is False  # the second call knows the stand-in for what it is
    with pytest.raises(RuntimeError, match="'nms' is not compiled") as caught:
        sys.modules["mmcv._ext"].nms(torch.zeros(1, 4))
    assert install_command() in str(caught.value)


def test_the_stand_in_hides_dunder_names(no_extension: None) -> None:
    ensure_mmcv_ops()
    assert not hasattr(sys.modules["mmcv._ext"], "__path__")


def test_a_compiled_extension_is_left_alone(
    no_extension: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was imported already or only lies on the disk."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: ModuleSpec(name, None))
    assert ensure_mmcv_ops() is True
    assert "mmcv._ext" not in sys.modules
    monkeypatch.setitem(sys.modules, "mmcv._ext", ModuleType("mmcv._ext"))
    assert ensure_mmcv_ops() is True


@pytest.mark.skipif(not COMPILED, reason="mmcv has no compiled operators here")
def test_a_compiled_operator_computes() -> None:
    from mmcv.ops import nms

    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
    _, kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), iou_threshold=0.5)
    assert kept.tolist() == [0, 2]
