"""The benchmarks' config bases: each builds its loaders on a made tree and gives right shapes."""

import numpy as np
import pytest
from avs_sets import load_base
from benchmark_trees import make_avss, make_ms3, make_s4, make_vpo
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from mmseg.registry import DATASETS
from PIL import Image

from projects.cpm_avs.datasets.sample_index import SampleIndex

pytestmark = pytest.mark.usefixtures("mmseg_scope", "bases_read_once")

WINDOW, MIX = (1, 15360), (2, 48000)
# Base: tree, size in training, size at test (None: the frame's own), sound, classes.
CASES = {
    "s4-224": (make_s4, 224, 224, WINDOW, 2),
    "ms3-224": (make_ms3, 224, 224, WINDOW, 2),
    "avss": (make_avss, 512, None, WINDOW, 71),
    "avss-224": (make_avss, 224, 224, WINDOW, 71),
    "vpo-ss": (make_vpo, 512, None, MIX, 22),
    "vpo-ms": (make_vpo, 512, None, MIX, 22),
    "vpo-msmi": (make_vpo, 512, None, MIX, 22),
}


# Base: tree, size in training and at test, clips a batch, frames of the first one and their labels.
CLIPS = {
    "s4-224_clips": (make_s4, 224, 4, 5, 1),
    "s4-512_clips": (make_s4, 512, 4, 5, 1),
    "ms3-224_clips": (make_ms3, 224, 4, 5, 5),
    "ms3-512_clips": (make_ms3, 512, 4, 5, 5),
    "avss-224_clips": (make_avss, 224, 4, 5, 1),
}


@pytest.mark.parametrize("name", CASES)
def test_loaders_give_the_sizes_of_the_protocol(tmp_path, name):
    make, train_size, test_size, sound, num_classes = CASES[name]
    config = load_base(name, make(tmp_path))
    batch = next(iter(Runner.build_dataloader(config.train_dataloader, seed=0)))
    image, waveform = batch["inputs"]["img"][0], batch["inputs"]["waveform"][0]
    label = batch["data_samples"][0].gt_sem_seg.data
    assert image.shape == (3, train_size, train_size) and waveform.shape == sound
    assert label.shape == (1, train_size, train_size)
    assert config.num_classes == num_classes and config.audio_channels == sound[0]

    if name == "vpo-ms":  # its made tree has training images only
        config.test_dataloader.dataset.split = "train"
    loader = Runner.build_dataloader(config.test_dataloader)
    assert loader.batch_size == 1 and len(loader.dataset.metainfo["classes"]) == num_classes
    item = loader.dataset[0]
    size = (24, 32) if test_size is None else (test_size, test_size)
    assert item["inputs"]["img"].shape == (3, *size)
    assert item["data_samples"].gt_sem_seg.data.shape == (1, *size)
    assert item["data_samples"].ori_shape == size
    for evaluator in (config.val_evaluator, config.test_evaluator):
        assert Evaluator(evaluator).metrics[0].protocols == ("dataset", "avsbench")


@pytest.mark.parametrize("name", CLIPS)
def test_loaders_of_whole_clips(tmp_path, name):
    make, size, clips, frames, labelled = CLIPS[name]
    config = load_base(name, make(tmp_path))
    train = Runner.build_dataloader(config.train_dataloader, seed=0)
    assert train.batch_size == clips and len(train.dataset[0]) == frames
    batch = next(iter(train))
    first = slice(0, batch["data_samples"][0].clip_length)
    for image, waveform in zip(*batch["inputs"].values(), strict=True):
        assert image.shape == (3, size, size) and waveform.shape == (1, 15840)
    with_label = [one for one in batch["data_samples"][first] if "gt_sem_seg" in one]
    assert all(one.gt_sem_seg.data.shape == (1, size, size) for one in with_label)
    assert sum("gt_sem_seg" in one["data_samples"] for one in train.dataset[0]) == labelled
    tested = Runner.build_dataloader(config.test_dataloader)
    item = next(iter(tested))["data_samples"]
    assert tested.batch_size == 1 and len(item) == item[0].clip_length
    assert all(one.ori_shape == (size, size) and "gt_sem_seg" in one for one in item)


def test_only_vpo_validates_on_its_test_images(tmp_path):
    for name in CASES:
        split = load_base(name, tmp_path).val_dataloader.dataset.split
        assert split == ("test" if name.startswith("vpo") else "val")


def test_the_224_protocol_trains_at_scales_from_a_half_to_twice(tmp_path):
    """Crops of 224 of the frame at 112 to 448; a white object stays where its mask is."""
    config = load_base("s4-224", make_s4(tmp_path))
    folder = tmp_path / "s4_data/visual_frames/train/dog_barking/t0"
    picture = np.zeros((240, 320, 3), np.uint8)
    picture[60:180, 80:240] = 255
    Image.fromarray(picture).save(folder / "t0_1.png")
    mask = folder.parents[3] / "gt_masks/train/dog_barking/t0/t0_1.png"
    Image.fromarray(picture[..., 0]).save(mask)
    plain = dict(type="PhotoMetricDistortion")
    pipeline = [step for step in config.train_pipeline_224 if step != plain]
    dataset = DATASETS.build(config.train_dataloader.dataset | dict(pipeline=pipeline))
    sides, covered = set(), []
    for draw in range(40):
        item = dataset[SampleIndex(0, draw)]
        image, label = item["inputs"]["img"], item["data_samples"].gt_sem_seg.data[0]
        assert image.shape == (3, 224, 224) and label.shape == (224, 224)
        known = label != 255
        sides.add(int(known.any(1).sum()))
        covered.append(float((label == 1).sum() / known.sum()))
        wrong = ((image[0] > 127) != (label == 1)) & known
        assert wrong.float().mean() < 0.02  # the borders' blend
    assert min(sides) >= 112 and len(sides) > 5 and max(sides) == 224
    # Of the whole frame the object is a quarter, of a crop of it up to all.
    assert min(covered) < 0.25 < 0.5 < max(covered)


def test_padding_is_ignored_and_grey(tmp_path):
    config = load_base("avss", make_avss(tmp_path))
    item = DATASETS.build(config.train_dataloader.dataset)[0]  # at most 64 px of 512 are frame
    label = item["data_samples"].gt_sem_seg.data[0]
    assert (label[100:] == 255).all() and (label == 0).any()
    assert item["inputs"]["img"][:, 300, 300].tolist() == [104, 116, 124]
