"""Masks that label nothing, mostly those of 0 and 255 read as indices, stop before training."""

from pathlib import Path

import numpy as np
import pytest
from avs_sets import build
from benchmark_trees import make_ms3, write_mask
from PIL import Image
from toy_avs import HEIGHT, PIPELINE, WIDTH, ToySet, write_toy_files

from projects.cpm_avs.datasets.benchmarks.avsbench import AVSBenchMS3Dataset
from projects.cpm_avs.datasets.mask_decoding import read_mask
from projects.cpm_avs.errors import BadSampleError

pytestmark = pytest.mark.usefixtures("mmseg_scope")


@pytest.fixture
def root(tmp_path):
    return write_toy_files(tmp_path)


class BinarySet(ToySet):
    """The same files, any value but 0 being the object."""

    METAINFO = dict(classes=("background", "object"), palette=[[0, 0, 0], [255, 0, 0]])
    MASK_ENCODING = "binary"


def write_masks(root: Path, *values: int) -> None:
    """Masks of 0 with a square of the values, in turns."""
    for index in range(6):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[4:16, 4:20] = values[index % len(values)]
        Image.fromarray(mask).save(root / f"{index}.png")


@pytest.mark.parametrize("known_classes", [True, False])
@pytest.mark.parametrize("test_mode", [True, False])
def test_masks_of_0_and_255_are_refused_with_the_remedy(root, known_classes, test_mode):
    """Whether the index knows what sounds or not."""
    write_masks(root, 255)
    with pytest.raises(BadSampleError) as caught:
        ToySet(root=root, known_classes=known_classes, pipeline=PIPELINE, test_mode=test_mode)
    assert caught.value.path == str(root / "0.png")
    assert "all of the 6 masks" in caught.value.reason and "255" in caught.value.reason
    assert "MASK_ENCODING = 'binary'" in caught.value.remedy
    item = BinarySet(root=root, known_classes=False, pipeline=PIPELINE, test_mode=test_mode)[0]
    assert item["data_samples"].gt_sem_seg.data.unique().tolist() == [0, 1]


def test_silence_alone_can_be_tested_but_not_learned(root):
    write_masks(root, 0)
    assert len(ToySet(root=root, pipeline=PIPELINE, test_mode=True)) == 6
    for kind in (ToySet, BinarySet):
        with pytest.raises(BadSampleError, match=r"0\.png.*background \(0\) alone.*all of the 6"):
            kind(root=root, known_classes=False, pipeline=PIPELINE)


@pytest.mark.parametrize("values", [(0, 0, 0, 0, 0, 3), (255, 255, 2), (255, 1)])
def test_one_mask_that_labels_something_is_enough(root, values):
    write_masks(root, *values)
    assert len(ToySet(root=root, known_classes=False, pipeline=PIPELINE)) == 6


def test_classes_that_were_all_left_out_are_refused(root):
    metainfo = dict(classes=("background", "c"), palette=[[0, 0, 0], [0, 0, 255]])
    write_masks(root, 1, 2)
    with pytest.raises(BadSampleError, match="metainfo.classes keeps"):
        ToySet(root=root, known_classes=False, pipeline=PIPELINE, metainfo=metainfo)


@pytest.mark.parametrize("test_mode", [True, False])
def test_some_files_that_cannot_be_read_are_left_to_their_turn(root, test_mode):
    for index in range(5):
        (root / f"{index}.png").unlink()
    dataset = ToySet(root=root, pipeline=PIPELINE, test_mode=test_mode)
    if test_mode:
        with pytest.raises(BadSampleError, match="missing"):
            dataset[0]
    else:
        assert dataset[0]["data_samples"].clip_id == "5"


def test_a_pipeline_without_masks_needs_none(root):
    for path in root.glob("*.png"):
        path.unlink()
    pipeline = [step for step in PIPELINE if step["type"] != "LoadAVSMask"]
    assert ToySet(root=root, pipeline=pipeline)[0]["inputs"]["waveform"].any()


def test_masks_none_of_which_can_be_read_stop_with_what_the_first_one_has(root):
    """Colours where indices were expected: not a thousand tries later, and with its own hint."""
    for index in range(6):
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / f"{index}.png")
    with pytest.raises(BadSampleError, match=r"0\.png.*mode RGB.*MASK_ENCODING = 'color'"):
        ToySet(root=root, pipeline=PIPELINE)


def test_looking_leaves_the_random_state_alone_and_only_happens_once(root, monkeypatch):
    before = np.random.get_state()[1].copy()
    dataset = ToySet(root=root, pipeline=PIPELINE, lazy_init=True)
    monkeypatch.setattr(type(dataset), "_check_foreground", lambda self: looked.append(1))
    looked: list[int] = []
    dataset[0], dataset[1]
    assert looked == [1]
    assert np.array_equal(np.random.get_state()[1], before)


def test_a_benchmark_whose_masks_are_empty_is_refused(tmp_path):
    root = make_ms3(tmp_path)
    for k in range(1, 6):
        write_mask(root / f"ms3_data/gt_masks/train/t0/t0_{k}.png", 0)
    with pytest.raises(BadSampleError, match=r"t0_\d\.png.*nothing is labelled"):
        build(AVSBenchMS3Dataset, root, "train", test_mode=False)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "CMYK", "F"])
def test_the_hint_about_a_picture_of_another_mode_stands_alone(tmp_path, mode):
    """Not inside the one about files that can't be decoded."""
    path = tmp_path / ("mask.tiff" if mode in ("CMYK", "F") else "mask.png")
    Image.new(mode, (4, 3)).save(path)
    with pytest.raises(BadSampleError) as caught:
        read_mask(path)
    assert caught.value.reason == f"the mask is a picture of mode {mode}, not one of class indices"
    assert "MASK_ENCODING = 'color'" in caught.value.remedy and "decoded" not in str(caught.value)
