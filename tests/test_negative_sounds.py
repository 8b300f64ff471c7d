"""Negative sounds in training: silence, noise, another class; the mask is then empty."""

from pathlib import Path

import numpy as np
import pytest
import torch
from benchmark_trees import AVSS_ROWS, make_avss, make_s4, write_sound
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import DATASETS, TRANSFORMS
from toy_avs import LOAD, ToySet, write_toy_files

from projects.cpm_avs.datasets.negative_sounds import without_objects
from projects.cpm_avs.datasets.sample_index import SampleIndex

pytestmark = pytest.mark.usefixtures("mmseg_scope")

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
PACK = dict(type="PackAVSInputs")


@pytest.fixture
def root(tmp_path):
    return write_toy_files(tmp_path)


def pipeline(**settings) -> list[dict]:
    frame, mask, load = LOAD
    return [frame, mask, dict(type="RandomNegativeSound", load=load, **settings), PACK]


def toy(root: Path, **settings) -> ToySet:
    return ToySet(root=root, pipeline=pipeline(**settings))


def sound_of(sample) -> torch.Tensor:
    return sample["inputs"]["waveform"]


def labels_of(sample) -> set[int]:
    return set(sample["data_samples"].gt_sem_seg.data.unique().tolist())


def test_silence_and_noise_by_hand():
    clip = np.array([[3, -3, 3, -3], [1, -1, 1, -1]], np.float32)  # level sqrt(5)
    rng = np.random.default_rng(0)
    assert not without_objects(clip, "silence", rng).any()
    noise = without_objects(clip, "noise", rng)
    normal = np.random.default_rng(0).standard_normal((2, 4))
    np.testing.assert_allclose(noise, 5**0.5 * normal, rtol=1e-6)
    assert noise.dtype == np.float32
    quiet = without_objects(0 * clip, "noise", np.random.default_rng(0))
    np.testing.assert_allclose(quiet, 0.01 * normal, rtol=1e-6)


@pytest.mark.parametrize("sound", ["silence", "noise", "offscreen"])
def test_the_mask_is_empty_and_the_picture_stays(root, sound):
    plain = ToySet(root=root, pipeline=[*LOAD, PACK])
    dataset = toy(root, prob=1.0, sounds=[sound])
    for idx in range(6):
        sample = dataset[SampleIndex(idx, 7)]
        assert labels_of(plain[idx]) == {0, idx % 3 + 1} and labels_of(sample) == {0}
        assert sample["data_samples"].sound_classes == []
        assert sample["data_samples"].audio_condition == sound
        assert torch.equal(sample["inputs"]["img"], plain[idx]["inputs"]["img"])
        heard = [k for k in range(6) if torch.equal(sound_of(sample), sound_of(plain[k]))]
        if sound == "offscreen":
            assert len(heard) == 1 and heard[0] % 3 != idx % 3
        else:
            assert heard == [] and sound_of(sample).shape == (1, 15360)
            assert sound_of(sample).any() == (sound == "noise")


def test_pixels_that_are_ignored_stay_so(root):
    chosen = dict(classes=("background", "c"))
    settings = dict(pipeline=pipeline(prob=1.0, sounds=["silence"]), metainfo=chosen)
    dataset = ToySet(root=root, **settings)
    assert [labels_of(dataset[i]) for i in range(3)] == [{0, 255}, {0, 255}, {0}]


def test_each_sound_comes_as_often_as_said(root):
    dataset = toy(root, prob=0.6)
    conditions = [
        dataset[SampleIndex(0, draw)]["data_samples"].audio_condition for draw in range(300)
    ]
    shares = {name: conditions.count(name) / 300 for name in set(conditions)}
    expected = dict(normal=0.4, silence=0.2, noise=0.2, offscreen=0.2)
    assert shares == pytest.approx(expected, abs=0.085)  # three standard deviations
    never = toy(root, prob=0.0)
    assert {labels_of(never[k]).pop() for k in range(3)} <= {0, 1, 2, 3}
    assert all(never[k]["data_samples"].audio_condition == "normal" for k in range(6))


def test_one_draw_gives_one_sample(root):
    """Whatever was drawn before, in whatever process: a resumed run hears what it would have."""
    first, second = toy(root, prob=0.9), toy(root, prob=0.9)
    for draw in range(20):
        np.random.seed(draw)
        a, b = first[SampleIndex(draw % 6, draw)], second[SampleIndex(draw % 6, draw)]
        assert torch.equal(sound_of(a), sound_of(b))
        assert a["data_samples"].audio_condition == b["data_samples"].audio_condition
        first[SampleIndex(3, 1000 + draw)]


def test_silence_where_nothing_is_foreign(root):
    dataset = ToySet(root=root, count=1, pipeline=pipeline(prob=1.0, sounds=["offscreen"]))
    sample = dataset[0]
    assert sample["data_samples"].audio_condition == "silence" and not sound_of(sample).any()


def test_s4_hears_another_category(tmp_path):
    root = make_s4(tmp_path)
    index = root / "s4_meta_data.csv"
    index.write_text(index.read_text().replace("race_car,val", "race_car,train"))
    for folder in ("visual_frames", "audio_wav", "gt_masks"):
        (root / "s4_data" / folder / "val/race_car").rename(
            root / "s4_data" / folder / "train/race_car"
        )
    write_sound(root / "s4_data/audio_wav/train/race_car/v0.wav", 5.0, seed=3)
    kind = dict(type="AVSBenchS4Dataset", data_root=str(root), split="train")
    plain = DATASETS.build(kind | dict(pipeline=[*LOAD, PACK]))
    dataset = DATASETS.build(kind | dict(pipeline=pipeline(prob=1.0, sounds=["offscreen"])))
    for idx, other in ((0, 1), (1, 0)):
        assert torch.equal(sound_of(dataset[idx]), sound_of(plain[other]))


def test_refusals(root):
    load = LOAD[2]
    for wrong in (dict(prob=1.5), dict(sounds=[]), dict(sounds="silence"), dict(sounds=["rain"])):
        with pytest.raises(ValueError, match=r"prob=1.5|sounds="):
            TRANSFORMS.build(dict(type="RandomNegativeSound", load=load) | wrong)
    frame, mask, _ = LOAD
    early = [frame, dict(type="RandomNegativeSound", load=load), mask, PACK]
    with pytest.raises(ValueError, match="behind LoadAVSMask"):
        ToySet(root=root, pipeline=early)[0]


def test_the_config_trains_with_them(tmp_path):
    config = Config.fromfile(CONFIGS / "cpm_r50_avss_negatives.py")
    loader = config.train_dataloader
    loader.update(num_workers=0, persistent_workers=False, batch_size=1)
    loader.dataset.data_root = str(make_avss(tmp_path))
    dataset = Runner.build_dataloader(loader, seed=0).dataset
    clips = [row[1] for row in AVSS_ROWS if row[5] == "train"]
    seen = set()
    for draw in range(40):
        sample = dataset[SampleIndex(draw % len(clips), draw)]
        data = sample["data_samples"]
        assert sample["inputs"]["img"].shape == (3, 512, 512)
        assert labels_of(sample) <= {0, 255} or data.audio_condition == "normal"
        seen.add(data.audio_condition)
    assert seen == {"normal", "silence", "noise", "offscreen"}
    assert config.test_dataloader.dataset.pipeline[2].type == "LoadAudioWindow"


def test_scenes_that_are_composed_hear_them_too():
    config = Config.fromfile(CONFIGS / "cpm_mbv2-yamnet_stamps_negatives.py").train_dataloader
    config.dataset.pipeline[0].prob = 1.0
    dataset = DATASETS.build(config.dataset | dict(num_scenes=12))
    plain = DATASETS.build(
        config.dataset | dict(num_scenes=12, pipeline=[dict(type="ComposeScene"), PACK])
    )
    heard = [sound_of(sample) for sample in plain]
    seen = set()
    for draw in range(24):
        scene = draw % len(dataset)
        sample = dataset[SampleIndex(scene, draw)]
        assert labels_of(sample) == {0}
        sound, condition = sound_of(sample), sample["data_samples"].audio_condition
        if condition == "offscreen":  # the sound of another scene of the set
            same = [other for other, one in enumerate(heard) if torch.allclose(one, sound)]
            assert same and scene not in same
            apart = dataset.plan(scene).visible_classes
            assert not apart & dataset.plan(same[0]).heard_classes
        seen.add(condition)
    assert seen == {"silence", "noise", "offscreen"}
