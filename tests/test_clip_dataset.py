"""Whole clips: their frames in order, alike in augmentation, exact over ranks and in a resume."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from benchmark_trees import make_avss, make_s4, make_vpo, write_frame
from mmengine.registry import FUNCTIONS
from mmseg.registry import DATASETS, TRANSFORMS
from peer_rule import assert_agrees
from sampler_ranks import ranks
from torch.utils.data import DataLoader
from toy_avs import PIPELINE

from projects.cpm_avs.datasets.clip_dataset import _first_labelled
from projects.cpm_avs.datasets.samplers import EpochDrawSampler
from projects.cpm_avs.evaluation import streaming
from projects.cpm_avs.models.audio_backbones.vggish_embedding import log_mel
from projects.cpm_avs.models.spectrogram import mel_filters, stft_magnitude

pytestmark = pytest.mark.usefixtures("mmseg_scope")

COLLATE = FUNCTIONS.get("clip_collate")
AUGMENTED = [
    *PIPELINE[:-1],
    dict(type="RandomScaledCrop", crop_size=(16, 16), scale_range=(0.5, 2.0)),
    dict(type="AVSRandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    PIPELINE[-1],
]


def build(kind: str, root, **settings):
    frames = dict(
        type=kind, data_root=str(root), split="train", pipeline=PIPELINE, frames_per_clip="whole"
    )
    return DATASETS.build(dict(type="ClipDataset", dataset=frames | settings))


def names(clip) -> list[tuple[str, int]]:
    return [(one["data_samples"].clip_id, one["data_samples"].frame_index) for one in clip]


def test_a_clip_has_its_frames_in_order_with_and_without_labels(tmp_path):
    clips = build("AVSBenchSemanticDataset", make_avss(tmp_path))
    assert len(clips) == 2 and len(clips.metainfo["classes"]) == 71
    assert [names(clip) for clip in clips] == [
        [("a_0", k) for k in range(5)],
        [("b_0", k) for k in range(5)],
    ]
    labelled = [["gt_sem_seg" in one["data_samples"] for one in clip] for clip in clips]
    assert labelled == [[True] + 4 * [False], 5 * [True]]
    assert {one["data_samples"].clip_length for clip in clips for one in clip} == {5}

    batch = COLLATE([clips[0], clips[1]])
    assert len(batch["inputs"]["img"]) == len(batch["data_samples"]) == 10
    assert [sample.clip_id for sample in batch["data_samples"]] == ["a_0"] * 5 + ["b_0"] * 5


def test_a_frame_with_a_label_comes_alone(tmp_path, monkeypatch):
    """As in the clip, with its draws, and the others are not made."""
    clips = build("AVSBenchSemanticDataset", make_avss(tmp_path), pipeline=AUGMENTED)
    expected = [clips[index][0] for index in range(2)]
    made, prepare = [], clips.dataset.prepare_data
    monkeypatch.setattr(
        clips.dataset, "prepare_data", lambda *which: made.append(which[0]) or prepare(*which)
    )
    for index, whole in enumerate(expected):
        alone = clips.labelled_frame(index)
        assert torch.equal(alone["inputs"]["img"], whole["inputs"]["img"])
        assert alone["data_samples"].metainfo == whole["data_samples"].metainfo
    assert made == [frames[0] for frames in clips.clips]
    frames = [dict(data_samples=dict.fromkeys(keys)) for keys in ((), ("gt_sem_seg",), ())]
    assert _first_labelled(iter(frames)) is frames[1]
    assert _first_labelled(iter(frames[2:])) is frames[2]


def test_clips_at_test_and_of_one_frame(tmp_path):
    root = make_avss(tmp_path / "avss")
    tested = build("AVSBenchSemanticDataset", root, split="test", test_mode=True)
    assert [len(clip) for clip in tested] == [5, 10]
    vpo = build("VPODataset", make_vpo(tmp_path / "vpo"), subset="vpo-ms")
    assert [len(frames) for frames in vpo.clips] == [1]
    scenes = dict(type="StampsDataset", subset="ss", split="train", num_scenes=3, image_size=32)
    made = DATASETS.build(
        dict(
            type="ClipDataset",
            dataset=dict(scenes, pipeline=[dict(type="ComposeScene"), dict(type="PackAVSInputs")]),
        )
    )
    assert [len(clip) for clip in made] == [1, 1, 1]


def test_frames_of_a_clip_are_augmented_alike(tmp_path):
    root = make_avss(tmp_path)
    for k in range(5):  # with one picture for all frames, what differs is the augmentation
        write_frame(root / "v1m" / "b_0" / "frames" / f"{k}.jpg", 7)
    clips = build("AVSBenchSemanticDataset", root, pipeline=AUGMENTED)
    sampler = EpochDrawSampler(dataset=clips, seed=0)
    pictures = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        (clip,) = [clips[index] for index in sampler if int(index) == 1]
        first, *others = (one["inputs"]["img"] for one in clip)
        assert all(first.equal(other) for other in others)
        pictures.append(first)
    assert not pictures[0].equal(pictures[1]) and not pictures[1].equal(pictures[2])


def epochs_of(clips, monkeypatch, *, world_size: int, epochs: range, workers: int = 0):
    """Pixels and names of each epoch's clips in the order of the draws, of all ranks together."""
    found = []
    for epoch in epochs:
        shares = []
        for sampler in ranks(monkeypatch, EpochDrawSampler, world_size, size=len(clips)):
            sampler.set_epoch(epoch)
            loader = DataLoader(clips, 1, sampler=sampler, num_workers=workers, collate_fn=COLLATE)
            shares.append(
                [
                    (
                        batch["data_samples"][0].clip_id,
                        batch["data_samples"][0].skipped,
                        [int(img.sum()) for img in batch["inputs"]["img"]],
                    )
                    for batch in loader
                ]
            )
        found.append([share[k] for k in range(len(shares[0])) for share in shares][: len(clips)])
    return found


def test_the_draw_alone_makes_the_clip(tmp_path, monkeypatch):
    """On 1 and 2 ranks, in workers, and resumed: also what stands in for a broken clip."""
    root = make_avss(tmp_path)
    (root / "v1m" / "b_0" / "frames" / "3.jpg").write_bytes(b"no picture")
    clips = build("AVSBenchSemanticDataset", root, pipeline=AUGMENTED)
    expected = epochs_of(clips, monkeypatch, world_size=1, epochs=range(3))
    assert {clip for epoch in expected for clip, _, _ in epoch} == {"a_0"}
    skipped = [bad for epoch in expected for _, bad, _ in epoch if bad]
    assert len(skipped) == 3 and all(bad[0].endswith("b_0/frames/3.jpg") for bad in skipped)
    assert epochs_of(clips, monkeypatch, world_size=2, epochs=range(3)) == expected
    assert epochs_of(clips, monkeypatch, world_size=1, epochs=range(1, 3)) == expected[1:]
    assert epochs_of(clips, monkeypatch, world_size=1, epochs=range(1), workers=1) == expected[:1]


def test_a_broken_clip_is_named_once_and_stops_a_test(tmp_path):
    root = make_avss(tmp_path)
    (root / "v1m" / "b_0" / "frames" / "3.jpg").write_bytes(b"no picture")
    clip = build("AVSBenchSemanticDataset", root)[1]
    assert [len(one["data_samples"].skipped) > 0 for one in clip] == [True] + 4 * [False]
    for settings in (dict(strict=True), dict(test_mode=True)):
        with pytest.raises(ValueError, match="b_0/frames/3.jpg"):
            build("AVSBenchSemanticDataset", root, **settings)[1]


def test_sets_that_have_no_whole_clips_are_refused(tmp_path):
    with pytest.raises(ValueError, match="set frames_per_clip='whole'"):
        build("AVSBenchS4Dataset", make_s4(tmp_path), frames_per_clip="one")
    frames = dict(type="AVSBenchS4Dataset", data_root=str(tmp_path), split="val")
    both = dict(type="RepeatDataset", dataset=frames, times=2)
    with pytest.raises(ValueError, match="not of a RepeatDataset"):
        DATASETS.build(dict(type="ClipDataset", dataset=both, lazy_init=True))


def test_clips_can_be_joined(tmp_path):
    frames = dict(type="AVSBenchS4Dataset", data_root=str(make_s4(tmp_path)), pipeline=PIPELINE)
    parts = [dict(type="ClipDataset", dataset=frames | dict(split=s)) for s in ("val", "test")]
    both = DATASETS.build(dict(type="ConcatDataset", datasets=parts))
    assert [names(clip)[-1] for clip in both] == [("v0", 4), ("e0", 4)]


class CountingMetric(streaming.StreamingMetric):
    """The number of frames, and the sum of their numbers."""

    def measure(self, sample, position):
        return {("subset", "total"): dict(frames=1, numbers=sample["number"])}

    def summarise(self, sums):
        return sums["subset", "total"]


@pytest.mark.parametrize("batch", [1, 2])
def test_a_metric_counts_each_frame_of_each_clip_once(monkeypatch, batch):
    """Clips of 5, 1 and 10 frames on two ranks, of which the second is given the first again."""
    lengths = [5, 1, 10]
    numbers = np.split(np.arange(sum(lengths)), np.cumsum(lengths)[:-1])
    clips = [[dict(number=int(k), clip_length=len(clip)) for k in clip] for clip in numbers]
    total = dict(frames=0, numbers=0)
    for rank, share in enumerate([[clips[0], clips[2]], [clips[1], clips[0]]]):
        monkeypatch.setattr(streaming, "get_dist_info", lambda rank=rank: (rank, 2))
        metric = CountingMetric()
        for start in range(0, 2, batch):
            metric.process(None, [frame for clip in share[start : start + batch] for frame in clip])
        found = metric.evaluate(len(clips))
        total = {name: total[name] + found[name] for name in total}
    assert total == dict(frames=16, numbers=sum(range(16)))
    with pytest.raises(ValueError, match="scored 1 of 3 items, but its share is 2"):
        metric.process(None, clips[0])
        monkeypatch.setattr(streaming, "get_dist_info", lambda: (0, 2))
        metric.evaluate(3)


#: Of five seconds of noise in the original's own code (OpenNLPLab/AVSBench f7414af, torchvggish).
LOG_MEL = dict(
    shape=[5, 1, 96, 64],
    mean=1.08876511,
    std=0.793849181,
    l2=236.168194,
    samples=[
        1.41373968, -0.484092653, 0.518898964, 1.98025095, 0.379599363, 1.94188702, 1.06065285,
        1.43146634, 1.75901067, 0.775405288, 1.030056, 2.11233759, 1.05366516, 2.16712737,
        0.32365635, 1.78103721,
    ],
)  # fmt: skip


def test_the_sound_of_a_clip_is_cut_as_torchvggish_cuts_it(tmp_path: Path):
    """From a file of 16 bits through the loader and the spectrogram to VGGish's input."""
    path = tmp_path / "noise.wav"
    samples = 0.1 * np.random.default_rng(5).standard_normal(80000)
    soundfile.write(path, np.round(32768 * samples).astype(np.int16), 16000)
    load = TRANSFORMS.build(dict(type="LoadVGGishExample"))
    loaded = [load(dict(audio_path=str(path), audio_start=float(k))) for k in range(5)]
    waveforms = torch.from_numpy(np.stack([one["waveform"] for one in loaded]))
    assert waveforms.shape == (5, 1, 15840)
    filters = mel_filters()
    assert_agrees(log_mel(stft_magnitude(waveforms), filters), LOG_MEL)
    assert log_mel(torch.ones(1, 1, 96, 256), filters).shape == (1, 1, 96, 64)
    with pytest.raises(ValueError, match="95 spectrogram frames.* give at least 15360 samples"):
        log_mel(torch.ones(1, 1, 95, 256), filters)
