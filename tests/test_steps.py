"""A pipeline whose steps can't follow one another ends in a sentence, before a run begins."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import ConcatDataset
from mmengine.runner.base_loop import BaseLoop
from mmseg.registry import TRANSFORMS
from torch import nn
from torch.utils.data import DataLoader
from toy_avs import LOAD, PIPELINE, ToySet, write_toy_files

from projects.cpm_avs.config_files import ConfigError
from projects.cpm_avs.datasets.clip_dataset import ClipDataset
from projects.cpm_avs.errors import BadSampleError, UserError
from projects.cpm_avs.launch import ModelFitHook, plain_errors

pytestmark = pytest.mark.usefixtures("mmseg_scope")

FRAME, MASK, SOUND = LOAD
PACK, FLIP, VISIBLE = (dict(type=n) for n in ("PackAVSInputs", "AVSRandomFlip", "LabelVisible"))
FLIP["prob"] = 1.0
RESIZE = dict(type="Resize", scale=(8, 8))


@TRANSFORMS.register_module()
class LosingStep(BaseTransform):
    """Gives nothing, as a step does that may refuse a sample."""

    def transform(self, results: dict) -> None:
        return None


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_toy_files(tmp_path, 2)


@pytest.mark.parametrize(
    ("pipeline", "sentence"),
    [
        ([], "pipeline of no step: it packs no sample; end it in PackAVSInputs"),
        (LOAD, r"LoadAVSFrame > LoadAVSMask > LoadAudioWindow: it packs no sample; end it in"),
        ([FRAME, MASK, PACK], r"PackAVSInputs \(step 3\) can't go on: .* lacks LoadAudioWindow"),
        ([*LOAD, dict(type="PackSegInputs")], "PackSegInputs: .*lacks LoadAudioWindow"),
        ([FRAME, SOUND, PACK], "loads no mask; put LoadAVSMask behind LoadAVSFrame"),
        ([MASK, FRAME, SOUND, PACK], r"LoadAVSMask \(step 1\) needs 'ori_shape', which nothing"),
        ([FLIP, *PIPELINE], r"AVSRandomFlip \(step 1\) needs 'img', .* \(LoadAVSFrame or its"),
        ([FRAME, FLIP, SOUND, MASK, PACK], r"Flip \(step 2\) needs 'waveform', .*LoadAudioWindow"),
        ([RESIZE, *PIPELINE], r"Resize \(step 1\) needs 'img'"),  # else it would do nothing
        ([VISIBLE, *PIPELINE], "needs 'visible_map', .*ComposeScene"),
        ([PACK, *LOAD], r"PackAVSInputs \(step 1\) can't do its .* must be the last step"),
        ([*PIPELINE, PACK], r"PackAVSInputs \(step 5\) can't do .* must be the last step"),
        ([*PIPELINE, FLIP], r"AVSRandomFlip \(step 5\) can't do .*PackAVSInputs must be the last"),
        ([*LOAD, dict(type="LosingStep"), PACK], r"LosingStep \(step 4\) gives nothing"),
        (
            [*LOAD, dict(type="Resize", scale_factor=0.0), PACK],
            r"Resize \(step 4\) can't work on this sample: OpenCV.* \(error in .*, line \d+\)",
        ),
    ],
)
def test_the_step_is_named(root: Path, pipeline: list[dict], sentence: str) -> None:
    dataset = ToySet(root=root, count=2, pipeline=pipeline)
    with pytest.raises(UserError, match=sentence) as told:
        dataset.check_first_item()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_step_that_fails_later_is_named_too(root: Path, num_workers: int) -> None:
    dataset = ToySet(root=root, count=2, pipeline=[FLIP, PACK])
    with pytest.raises(SystemExit, match="^error: pipeline AVSRandomFlip > .*img"), plain_errors():
        list(DataLoader(dataset, num_workers=num_workers, collate_fn=list))


def test_looking_moves_no_random_state(root: Path) -> None:
    dataset = ToySet(root=root, count=2, pipeline=[*LOAD, FLIP, PACK])
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    dataset.check_first_item()
    assert states[0] == random.getstate() and states[2] == torch.get_rng_state().tolist()
    assert states[1] == np.random.get_state()[1].tolist()


def run_with(dataset: Any) -> None:
    loop = BaseLoop.__new__(type("Loop", (BaseLoop,), dict(run=None)))
    loop.dataloader = SimpleNamespace(dataset=dataset)
    runner = SimpleNamespace(model=nn.Module(), _train_loop=None, _val_loop=loop, _test_loop=None)
    ModelFitHook().before_run(runner)


def test_a_run_looks_at_all_of_its_data_first(root: Path) -> None:
    good, bad = (ToySet(root=root, count=2, pipeline=steps) for steps in (PIPELINE, LOAD))
    clips = ClipDataset.__new__(ClipDataset)
    clips.dataset = bad
    run_with(good)
    for dataset in (bad, ConcatDataset([good, bad]), clips):
        with pytest.raises(ConfigError, match="^val_dataloader.dataset: pipeline .* packs no"):
            run_with(dataset)
    (root / "0.wav").unlink()
    with pytest.raises(BadSampleError, match=r"0\.wav: does not exist"):
        run_with(ToySet(root=root, count=2, pipeline=PIPELINE, test_mode=True))
