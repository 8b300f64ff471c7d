"""Upstream's OpenMMLab packages in place of onedl-*: the same scores, to the last digit.

    FAMILY=openmmlab bash tools/run_tests.sh tests/test_openmmlab.py

Both families must be installed, each in its own environment (tools/setup_env.sh).
"""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

from projects.cpm_avs.safe_checkpoint import CheckpointError, load_safely

ROOT = Path(__file__).resolve().parents[1]
OTHER = ROOT / ".venv" / "bin" / "python"
FAMILY = metadata.packages_distributions()["mmseg"]


def scores(python: Path | str, folder: Path) -> list:
    """Of the built-in checkpoint on 48 scenes."""
    config = "configs/cpm_mbv2-yamnet_stamps.py"
    checkpoint = next((ROOT / "data" / "checkpoints").glob("cpm_mbv2-yamnet_stamps-*.pth"))
    options = ["test_dataloader.dataset.num_scenes=48", "test_dataloader.num_workers=0"]
    options += ["test_dataloader.persistent_workers=False"]
    command = [python, "tools/test.py", config, checkpoint, "--work-dir", folder]
    environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    done = subprocess.run(
        [*command, "--cfg-options", *options],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(next(folder.glob("*/metrics.json")).read_text())["results"]


@pytest.mark.slow
@pytest.mark.skipif(FAMILY != ["mmsegmentation"], reason="onedl's packages are installed here")
@pytest.mark.skipif(not OTHER.exists(), reason="onedl's packages are not in .venv")
def test_both_families_score_alike(tmp_path: Path) -> None:
    here, there = scores(sys.executable, tmp_path / "here"), scores(OTHER, tmp_path / "there")
    assert here and here == there


class Gadget:
    """Runs a command when unpickled."""

    def __reduce__(self) -> tuple:
        return os.system, ("true",)


def test_what_reads_a_checkpoint_is_safe_in_either_family(tmp_path: Path) -> None:
    """Upstream's mmengine has no reader of its own; torch's takes data alone."""
    torch.save(dict(state_dict=Gadget()), tmp_path / "bad.pth")
    with pytest.raises(CheckpointError):
        CheckpointLoader.load_checkpoint(str(tmp_path / "bad.pth"), "cpu")
    reader = getattr(mmengine_checkpoint, "_safe_torch_load", mmengine_checkpoint.torch.load)
    with pytest.raises(Exception, match="weights_only|run code"):
        reader(tmp_path / "bad.pth", map_location="cpu")
    torch.save(dict(state_dict={}), tmp_path / "good.pth")
    assert load_safely(tmp_path / "good.pth") == dict(state_dict={})
