"""A disk that fills up: the tools name the file in one line, leave no half of it."""

import errno
import importlib
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from projects.cpm_avs.datasets.picture_writing import write_picture
from projects.cpm_avs.evaluation.mask_writer import MaskWriterHook
from projects.cpm_avs.inference.export import export_onnx, write_program
from projects.cpm_avs.launch import plain_errors

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def full_disk(size: int = 512) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes, so that a write fails in its midst."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.MonkeyPatch.context() as patch:
        # What is imported now would be compiled to a file that is cut off, and read as such later.
        patch.setattr(sys, "dont_write_bytecode", True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def refused(write: Callable[[], object]) -> str:
    """What the tool says that writes."""
    with full_disk(), pytest.raises(SystemExit) as end, plain_errors():
        write()
    message = str(end.value.code)
    assert message.startswith("error: ") and "\n" not in message
    return message


def publish(folder: Path) -> Path:
    torch.save(dict(weight=torch.ones(1000)), folder / "source.pth")
    tool = importlib.import_module("projects.cpm_avs.commands.publish_model")
    assert "File too large: " in refused(
        lambda: tool.main([str(folder / "source.pth"), str(folder / "out" / "a.pth")])
    )
    return folder / "out"


def make_clip(folder: Path) -> Path:
    tool = importlib.import_module("projects.cpm_avs.commands.make_clip")
    out = folder / "out" / "clip.mp4"
    assert f"File too large: '{out}'" in refused(lambda: tool.main([str(out)]))
    return out.parent


def write_a_picture(folder: Path) -> Path:
    path = folder / "out" / "a.png"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    assert f"File too large: '{path}'" in refused(lambda: write_picture(path, noise))
    return path.parent


def write_masks(folder: Path) -> Path:
    sample = SegDataSample(metainfo=dict(clip_id="dog", frame_index=7))
    sample.pred_sem_seg = PixelData(data=torch.from_numpy(np.random.randint(0, 70, (1, 64, 64))))
    hook = MaskWriterHook(out_dir=str(folder / "out"))
    message = refused(lambda: hook.after_test_iter(None, 0, None, [sample]))
    assert "File too large: " in message and "/out/dog/7.png" in message
    return folder / "out"


def export(folder: Path) -> Path:
    class Two(torch.nn.Module):
        def forward(self, img: torch.Tensor, waveform: torch.Tensor) -> torch.Tensor:
            return img.mean() + waveform * torch.arange(1000)

    program = torch.export.export(Two(), (torch.ones(1), torch.ones(1000)))
    for name, write in (("model.pt2", write_program), ("model.onnx", export_onnx)):
        path = folder / "out" / name
        assert f"File too large: '{path}'" in refused(lambda w=write, p=path: w(program, p))
    return folder / "out"


@pytest.mark.parametrize("tool", [publish, make_clip, write_a_picture, write_masks, export])
def test_a_tool_names_the_file_and_leaves_no_half(tool: Callable, tmp_path: Path) -> None:
    out = tool(tmp_path)
    assert [path for path in out.rglob("*") if path.is_file()] == []


def test_training_names_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config.fromfile(ROOT / "tests" / "configs" / "toy_iter.py")
    config.work_dir, config.experiment_name = str(tmp_path), tmp_path.name

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("projects.cpm_avs.files.os.fsync", full)
    with (
        DefaultScope.overwrite_default_scope("mmseg"),
        pytest.raises(SystemExit) as end,
        plain_errors(),
    ):
        Runner.from_cfg(config).train()
    assert str(end.value.code).endswith(
        f"No space left on device: '{tmp_path}/best_score_iter_6.pth'"
    )
    assert not list(tmp_path.rglob("*.pth"))


def test_a_full_disk_is_an_end_in_one_line_where_no_file_is_known() -> None:
    with pytest.raises(SystemExit, match="No space left on device.*--resume"), plain_errors():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
