"""Bad samples, repeatable draws and the test's audio conditions of the data sets' base."""

import pickle
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset, RepeatDataset
from PIL import Image
from toy_avs import AUGMENT, PIPELINE, ToySet, write_toy_files

from projects.cpm_avs.datasets.sample_index import SampleIndex
from projects.cpm_avs.datasets.seeding import seeded
from projects.cpm_avs.errors import BadSampleError

pytestmark = pytest.mark.usefixtures("mmseg_scope")


@pytest.fixture
def root(tmp_path):
    return write_toy_files(tmp_path)


def image_of(sample):
    return sample["inputs"]["img"]


# ---- sample index


def test_sample_index_is_an_int_that_pickles():
    index = pickle.loads(pickle.dumps(SampleIndex(5, 123)))
    assert index == 5 and index.draw == 123 and isinstance(index, SampleIndex)
    assert [10, 20, 30][SampleIndex(2, 7)] == 30
    assert repr(index) == "SampleIndex(5, draw=123)"


@pytest.mark.parametrize(
    "wrapper", [lambda s: ConcatDataset([s, s]), lambda s: RepeatDataset(s, 2)]
)
def test_wrappers_keep_the_draw(root, wrapper):
    dataset = ToySet(root=root, pipeline=AUGMENT)
    expected = dataset[SampleIndex(2, 40)]
    found = wrapper(dataset)[SampleIndex(len(dataset) + 2, 40)]
    assert torch.equal(image_of(found), image_of(expected))


def test_chosen_classes_are_heard_by_their_new_numbers(root):
    """Item i sounds class i % 3 + 1 of a, b and c; of these, c and a are chosen, in this order."""
    metainfo = dict(classes=("background", "c", "a"), palette=[[0, 0, 0], [0, 0, 255], [255, 0, 0]])
    dataset = ToySet(root=root, count=3, pipeline=PIPELINE, metainfo=metainfo)
    samples = [dataset[i]["data_samples"] for i in range(3)]
    assert [sample.sound_classes for sample in samples] == [[2], [], [1]]
    labels = [set(sample.gt_sem_seg.data.unique().tolist()) for sample in samples]
    assert labels == [{0, 2}, {0, 255}, {0, 1}]


# ---- draws


def test_a_draw_gives_the_same_sample_whatever_came_before(root):
    dataset = ToySet(root=root, pipeline=AUGMENT)
    first = image_of(dataset[SampleIndex(2, 40)])
    random.seed(9), np.random.seed(9), torch.manual_seed(9)
    dataset[SampleIndex(1, 41)]
    assert torch.equal(image_of(dataset[SampleIndex(2, 40)]), first)
    assert torch.equal(image_of(ToySet(root=root, pipeline=AUGMENT)[SampleIndex(2, 40)]), first)
    others = [image_of(dataset[SampleIndex(2, draw)]) for draw in range(8)]
    others.append(image_of(ToySet(root=root, pipeline=AUGMENT, seed=1)[SampleIndex(2, 40)]))
    assert not any(torch.equal(other, first) for other in others)


def test_a_draw_leaves_the_global_random_states_alone(root):
    dataset = ToySet(root=root, pipeline=AUGMENT)

    def following(action):
        random.seed(3), np.random.seed(3), torch.manual_seed(3)
        action()
        return random.random(), np.random.rand(), torch.rand(1).item()

    untouched = following(lambda: None)
    assert following(lambda: dataset[SampleIndex(0, 0)]) == untouched
    assert following(lambda: dataset[0])[1] != untouched[1]  # a plain index draws from it


def test_random_states_come_back_after_an_error():
    state = random.getstate()
    with pytest.raises(RuntimeError), seeded(1):
        random.random()
        raise RuntimeError
    assert random.getstate() == state


def test_workers_do_not_change_a_draw(root):
    dataset = ToySet(root=root, pipeline=AUGMENT)
    draws = [SampleIndex(draw % 6, draw) for draw in range(8)]

    def load(num_workers):
        loader = torch.utils.data.DataLoader(
            dataset, sampler=draws, num_workers=num_workers, batch_size=None, collate_fn=image_of
        )
        return list(loader)

    assert all(map(torch.equal, load(0), load(2)))


# ---- bad samples


def test_bad_sample_is_reported_once_and_replaced(root, monkeypatch):
    (root / "3.wav").write_bytes(b"")
    lines = []
    monkeypatch.setattr(
        "projects.cpm_avs.datasets.avs_dataset.print_log", lambda text, **_: lines.append(text)
    )
    dataset = ToySet(root=root, pipeline=PIPELINE)
    for draw in range(4):
        sample = dataset[SampleIndex(3, draw)]["data_samples"]
        assert sample.clip_id != "3" and set(sample.skipped) == {str(root / "3.wav")}
        again = dataset[SampleIndex(3, draw)]["data_samples"]
        assert again.clip_id == sample.clip_id and again.skipped == sample.skipped
    assert len(lines) == 1 and str(root / "3.wav") in lines[0]
    assert dataset[2]["data_samples"].skipped == []


@pytest.mark.parametrize("mode", [dict(strict=True), dict(test_mode=True)])
def test_bad_sample_is_raised_where_nothing_may_be_lost(root, mode):
    (root / "3.png").unlink()
    dataset = ToySet(root=root, pipeline=PIPELINE, **mode)
    assert dataset[2]["data_samples"].clip_id == "2"
    with pytest.raises(BadSampleError, match="3.png"):
        dataset[3]


def test_a_programming_error_is_not_taken_for_a_bad_sample(root):
    with pytest.raises(ValueError, match="lacks LoadAudioWindow") as caught:
        ToySet(root=root, pipeline=[*PIPELINE[:1], PIPELINE[-1]])[0]
    assert not isinstance(caught.value, BadSampleError)


def test_set_without_a_usable_sample(root):
    for path in root.glob("*.jpg"):
        path.unlink()
    dataset = ToySet(root=root, pipeline=PIPELINE, max_refetch=5)
    with pytest.raises(ValueError, match="after 6 tries"):
        dataset[0]


# ---- classes of a subset


def test_classes_left_out_become_ignored(root):
    dataset = ToySet(
        root=root, pipeline=PIPELINE, metainfo=dict(classes=("background", "c")), test_mode=True
    )
    labels = [set(dataset[i]["data_samples"].gt_sem_seg.data.unique().tolist()) for i in range(3)]
    assert labels == [{0, 255}, {0, 255}, {0, 1}]


# ---- audio conditions


def condition(root, name, **kwargs):
    settings = dict(root=root, pipeline=PIPELINE, test_mode=True, audio_condition=name)
    return ToySet(**settings | kwargs)


def sound_of(sample):
    return sample["inputs"]["waveform"]


def test_silence(root):
    sample = condition(root, "silence")[1]
    assert sound_of(sample).shape == (1, 15360) and not sound_of(sample).any()
    assert sample["data_samples"].audio_condition == "silence"
    assert sample["data_samples"].gt_sem_seg.data.max() == 2  # the truth stays


def test_noise_is_as_loud_as_the_clip_and_repeatable(root):
    clip, noise = sound_of(condition(root, "normal")[1]), sound_of(condition(root, "noise")[1])
    level = clip.square().mean().sqrt()
    assert abs(noise.square().mean().sqrt() / level - 1) < 0.05
    neighbours = (noise[0, 1:] * noise[0, :-1]).mean() / noise.square().mean()
    assert abs(neighbours) < 0.05  # white
    assert torch.equal(noise, sound_of(condition(root, "noise")[1]))
    assert not torch.equal(noise, sound_of(condition(root, "noise")[4]))
    assert not torch.equal(noise, sound_of(condition(root, "noise", seed=1)[1]))


@pytest.mark.parametrize("known_classes", [True, False])
def test_offscreen_sound_shares_no_class_with_the_picture(root, known_classes):
    dataset = condition(root, "offscreen", known_classes=known_classes)
    plain = condition(root, "normal")
    donors = set()
    for idx in range(6):
        donor = dataset.offscreen_donor(idx)
        donors.add(donor)
        assert donor % 3 != idx % 3
        sample = dataset[idx]
        assert torch.equal(sound_of(sample), sound_of(plain[donor]))
        assert torch.equal(image_of(sample), image_of(plain[idx]))
        assert dataset.offscreen_donor(idx) == donor
    assert len(donors) > 1


def test_offscreen_passes_over_silent_items(root):
    Image.new("L", (32, 24)).save(root / "0.png")
    dataset = condition(root, "offscreen", known_classes=False, count=2)
    assert dataset.offscreen_donor(0) == 1
    with pytest.raises(ValueError, match="no item has a sound"):
        dataset.offscreen_donor(1)


def test_conditions_are_for_the_test(root):
    with pytest.raises(ValueError, match="audio_condition='loud'"):
        condition(root, "loud")
    with pytest.raises(ValueError, match="test_mode=True"):
        condition(root, "silence", test_mode=False)


def test_a_set_of_nothing_is_told(root):
    with pytest.raises(ValueError, match="ToySet has no item .*check where its files are"):
        condition(root, "normal", count=0)


def test_a_background_that_is_no_class_is_refused(root):
    with pytest.raises(ValueError, match="reduce_zero_label=True: class 0 is the background"):
        condition(root, "normal", reduce_zero_label=True)
