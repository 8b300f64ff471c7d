"""Frames of composed clips as a data set: the clips of tools/make_clip.py, repeated exactly."""

import numpy as np
import pytest
import torch
from mmseg.registry import DATASETS

from projects.cpm_avs.datasets.composed.clip import TURN_SECONDS, compose_clip
from projects.cpm_avs.media.sound_windows import SoundWindows

pytestmark = pytest.mark.usefixtures("mmseg_scope")

PIPELINE = [dict(type="ComposeScene"), dict(type="PackAVSInputs")]


def frames(**settings):
    base = dict(type="StampsClipFrames", subset="ms", split="train", num_scenes=2, image_size=32)
    return base | dict(num_frames=4, fps=10.0, pipeline=PIPELINE) | settings


def test_frames_and_sounds_are_those_of_the_composed_clip():
    made = DATASETS.build(frames())
    assert len(made) == 8
    # At a hundredth of a second, so that the times of both fall together.
    made.time = lambda item: (100 + item // 4 + 10 * (item % 4)) / 100
    for index in (0, 1):
        clip = compose_clip(made, index, seconds=2 * TURN_SECONDS, fps=100)
        windows = SoundWindows(iter([clip.waveform]), length=15360, sample_rate=16000)
        for frame in range(4):
            item = made[4 * index + frame]
            place = 100 + index + 10 * frame
            image = item["inputs"]["img"].numpy().transpose(1, 2, 0)
            assert np.array_equal(image, clip.frames[place])
            mask = item["data_samples"].gt_sem_seg.data[0].numpy()
            assert np.array_equal(mask, clip.masks[place])
            assert np.array_equal(item["inputs"]["waveform"], windows.at(place / 100))


def test_clips_repeat_and_differ():
    clips = DATASETS.build(dict(type="ClipDataset", dataset=frames(num_scenes=6)))
    again = DATASETS.build(dict(type="ClipDataset", dataset=frames(num_scenes=6)))
    assert [len(clip) for clip in clips.clips] == [4] * 6
    heard = set()
    for index in (3, 0, 5):  # in any order
        one, other = clips[index], again[index]
        for first, second in zip(one, other, strict=True):
            for name, value in first["inputs"].items():
                assert torch.equal(value, second["inputs"][name])
        samples = [item["data_samples"] for item in one]
        assert [sample.frame_index for sample in samples] == [0, 1, 2, 3]
        assert {sample.clip_length for sample in samples} == {4}
        assert len({sample.clip_id for sample in samples}) == 1
        heard.add(samples[0].clip_id)
        times = [clips.dataset.time(4 * index + frame) for frame in range(4)]
        assert np.allclose(np.diff(times), 0.1) and times[0] >= 0 and times[-1] < 2 * TURN_SECONDS
    assert len(heard) == 3
    other_seed = DATASETS.build(frames(seed=1))
    assert not torch.equal(other_seed[0]["inputs"]["img"], clips[0][0]["inputs"]["img"])


def test_what_sounds_is_known_and_changes_within_some_clips():
    made = DATASETS.build(frames(num_scenes=12, fps=4.0))
    changes = 0
    for clip in range(12):
        heard = [made.heard_classes(made.get_data_info(4 * clip + k)) for k in range(4)]
        changes += heard[0] != heard[-1]
        assert heard[0] <= made.visible_classes(made.get_data_info(4 * clip))
        item = made[4 * clip]["data_samples"]
        assert set(item.sound_classes) == heard[0]
    assert 0 < changes < 12


def test_a_foreign_sound_is_that_of_another_frame():
    settings = dict(split="test", test_mode=True, num_scenes=8)
    swapped = DATASETS.build(frames(**settings, audio_condition="offscreen"))
    plain = DATASETS.build(frames(**settings))
    donor = swapped.offscreen_donor(0)
    assert donor // 4 != 0
    assert torch.equal(swapped[0]["inputs"]["waveform"], plain[donor]["inputs"]["waveform"])
    assert torch.equal(swapped[0]["inputs"]["img"], plain[0]["inputs"]["img"])


def test_clips_that_are_too_short_are_refused():
    with pytest.raises(ValueError, match="clip_seconds=0.9.*need more than 0.96 s"):
        DATASETS.build(frames(clip_seconds=0.9))
    with pytest.raises(ValueError, match="clip_seconds=3.* 31 frames .*need more than 3.00 s"):
        DATASETS.build(frames(clip_seconds=3.0, num_frames=31))
    with pytest.raises(ValueError, match="num_frames=0"):
        DATASETS.build(frames(num_frames=0))
