"""tools/browse_dataset.py: the samples that training draws, as it gets them."""

from pathlib import Path

import cv2
import mmseg
import numpy as np
import pytest
import torch
from benchmark_trees import make_avss
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from typed_tools import tool

from projects.cpm_avs.visualization.training_sample import draw_training_sample

ROOT = Path(__file__).resolve().parents[1]
STAMPS = str(ROOT / "configs" / "cpm_mbv2-yamnet_stamps.py")
AVSS = str(ROOT / "configs" / "cpm_r50_avss.py")


def test_options_are_those_of_mmseg(capsys: pytest.CaptureFixture[str]) -> None:
    theirs = Path(mmseg.__file__).parent / ".mim/tools/analysis_tools/browse_dataset.py"
    with pytest.raises(SystemExit):
        tool("browse_dataset").parse_args(["--help"])
    said = capsys.readouterr().out
    for option in ("--output-dir", "--not-show", "--show-interval", "--cfg-options"):
        assert option in theirs.read_text() and option in said


def test_a_folder_is_asked_for_where_no_window_opens(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tool("browse_dataset").parse_args([STAMPS, "--not-show"])
    assert "--output-dir" in capsys.readouterr().err


def test_composed_scenes_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [STAMPS, "--output-dir", str(tmp_path / "new"), "--not-show", "--num", "2"]
    tool("browse_dataset").main(words)
    written = [Path(line) for line in capsys.readouterr().out.split()]
    assert [path.name[:5] for path in written] == ["0000_", "0001_"]
    picture = cv2.imread(str(written[0]))
    # 96 px three times enlarged, bare and labelled side by side, and the strip.
    assert picture.shape == (288 + 57, 2 * 288, 3)
    assert (picture[:288, :288] != picture[:288, 288:]).any()


def test_epochs_follow_one_another_and_the_pipeline_is_that_of_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_avss(tmp_path / "data")
    words = [AVSS, "--output-dir", str(tmp_path), "--not-show", "--num", "5", "--cfg-options"]
    tool("browse_dataset").main([*words, f"train_dataloader.dataset.data_root={root}"])
    written = [Path(line) for line in capsys.readouterr().out.split()]
    assert len(written) == 5  # of a set of fewer clips
    assert {cv2.imread(str(path)).shape[:2] for path in written} == {(512 + 102, 2 * 512)}


def test_what_was_cropped_away_is_told_and_ignored_pixels_are_grey() -> None:
    browse, classes = tool("browse_dataset"), ["background", "dog", "drum"]
    sample = SegDataSample(metainfo=dict(sound_classes=[1, 2]))
    labels = torch.zeros(1, 256, 256, dtype=torch.long)
    labels[:, 60:, :100] = 1
    labels[:, :, 200:] = 255
    sample.gt_sem_seg = PixelData(data=labels)
    assert browse.what_sounds(sample, classes) == "sounds: dog, drum (cropped away)"
    assert browse.what_sounds(SegDataSample(), classes) == "sounds: no object"
    picture = np.full((256, 256, 3), 200, np.uint8)
    sound = np.zeros((1, 1600), np.float32)
    drawn = draw_training_sample(picture, labels[0].numpy(), dict(a=sound, b=sound), classes)
    assert drawn.shape == (256 + 2 * 51, 512, 3)
    assert (drawn[10:246, 456 + 10 : 500] == 127).all() and (drawn[100:200, 130:190] == 200).all()
    bare = draw_training_sample(picture, None, dict(a=sound), classes)
    assert bare.shape == (256 + 48, 256, 3)
