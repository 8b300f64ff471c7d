"""One random labelled frame of a clip and epoch, or all: the same on any ranks and in a resume."""

from collections import Counter
from itertools import pairwise

import pytest
from avs_sets import keys_of, load_base
from benchmark_trees import make_avss, make_ms3, make_s4, make_vpo
from mmengine.dataset import ConcatDataset, RepeatDataset, pseudo_collate
from mmseg.registry import DATASETS
from sampler_ranks import ranks
from torch.utils.data import DataLoader
from toy_avs import PIPELINE

from projects.cpm_avs.datasets.samplers import EpochDrawSampler

pytestmark = pytest.mark.usefixtures("mmseg_scope")


def build(kind: str, root, **kwargs):
    settings = dict(type=kind, data_root=str(root), split="train", pipeline=PIPELINE)
    return DATASETS.build(settings | kwargs)


@pytest.fixture
def avss(tmp_path):
    """For training a clip of v1s (1 labelled frame) and one of v1m (5)."""
    return build("AVSBenchSemanticDataset", make_avss(tmp_path))


def frames(items) -> list[tuple[str, int]]:
    samples = [item["data_samples"] for item in items]
    return [(sample.clip_id, sample.frame_index) for sample in samples]


def epochs_of(dataset, monkeypatch, *, world_size: int, epochs: range, workers: int = 0):
    """Frames of each epoch in the order of the draws, those of all ranks together."""
    together = ranks(monkeypatch, EpochDrawSampler, world_size, size=len(dataset))
    found = []
    for epoch in epochs:
        shares = []
        for sampler in together:
            sampler.set_epoch(epoch)
            loader = DataLoader(
                dataset, 1, sampler=sampler, num_workers=workers, collate_fn=pseudo_collate
            )
            shares.append([frames([dict(data_samples=b["data_samples"][0])])[0] for b in loader])
        merged = [share[k] for k in range(len(shares[0])) for share in shares]
        found.append(merged[: len(dataset)])
    return found


def test_an_epoch_shows_every_clip_once_and_in_time_every_frame(avss, monkeypatch):
    assert len(avss) == 2
    found = epochs_of(avss, monkeypatch, world_size=1, epochs=range(60))
    assert all(sorted(clip for clip, _ in epoch) == ["a_0", "b_0"] for epoch in found)
    seen = Counter(frame for epoch in found for frame in epoch)
    assert seen["a_0", 0] == 60 and set(seen) == {("a_0", 0), *(("b_0", k) for k in range(5))}
    assert all(4 <= seen["b_0", k] <= 22 for k in range(5))  # 12 on average
    repeated = sum(first == second for first, second in pairwise(sorted(e)[1] for e in found))
    assert repeated < 30  # drawn anew in each epoch


def test_picture_mask_and_sound_are_of_one_frame(avss):
    for _ in range(10):
        info = avss.get_data_info(1)
        k = info["frame_index"]
        assert info["img_path"].endswith(f"b_0/frames/{k}.jpg") and info["audio_start"] == k
        assert info["seg_map_path"].endswith(f"b_0/labels_semantic/{k}.png")
        assert info["sample_idx"] == 1


def test_the_draw_alone_chooses_the_frame(avss, monkeypatch):
    """On 1 and 2 ranks, in this process and in workers, from the start and resumed."""
    expected = epochs_of(avss, monkeypatch, world_size=1, epochs=range(6))
    assert epochs_of(avss, monkeypatch, world_size=2, epochs=range(6)) == expected
    assert epochs_of(avss, monkeypatch, world_size=1, epochs=range(4, 6)) == expected[4:]
    assert epochs_of(avss, monkeypatch, world_size=1, epochs=range(2), workers=2) == expected[:2]


@pytest.mark.parametrize("wrap", [lambda s: RepeatDataset(s, 3), lambda s: ConcatDataset([s, s])])
def test_wrapped_sets_choose_by_the_draw_too(avss, monkeypatch, wrap):
    whole = wrap(avss)
    assert len(whole) in (4, 6)
    first, second = (epochs_of(whole, monkeypatch, world_size=1, epochs=range(5)) for _ in "ab")
    assert first == second and len({frame for epoch in first for frame in epoch}) > 3


def test_all_frames_where_they_are_wanted_and_at_test(tmp_path):
    root = make_avss(tmp_path / "avss")
    every = [("a_0", 0)] + [("b_0", k) for k in range(5)]
    assert keys_of(build("AVSBenchSemanticDataset", root, frames_per_clip="all")) == every
    assert keys_of(build("AVSBenchSemanticDataset", root, test_mode=True)) == every
    whole = build("AVSBenchSemanticDataset", root, frames_per_clip="whole")
    assert keys_of(whole) == [(clip, k) for clip in ("a_0", "b_0") for k in range(5)]
    tested = [("c_0", k) for k in range(5)] + [("d_0", k) for k in range(10)]
    for test_mode in (False, True):
        dataset = build("AVSBenchSemanticDataset", root, split="test", test_mode=test_mode)
        assert keys_of(dataset) == tested
    ms3 = make_ms3(tmp_path / "ms3")
    assert len(build("AVSBenchMS3Dataset", ms3)) == 1
    assert len(build("AVSBenchMS3Dataset", ms3, frames_per_clip="all")) == 5
    assert len(build("AVSBenchMS3Dataset", ms3, split="val")) == 5
    s4, vpo = make_s4(tmp_path / "s4"), make_vpo(tmp_path / "vpo")
    for choice in ("one", "all"):
        assert keys_of(build("AVSBenchS4Dataset", s4, frames_per_clip=choice)) == [("t0", 0)]
        assert len(build("VPODataset", vpo, subset="vpo-ms", frames_per_clip=choice)) == 1


def test_another_word_is_refused(tmp_path):
    with pytest.raises(ValueError, match="frames_per_clip='two': use 'one', 'all' or 'whole'"):
        build("AVSBenchS4Dataset", tmp_path, frames_per_clip="two")


def test_what_the_configs_take(tmp_path):
    """One frame but for MS3, where CAVP takes all: of 296 videos an epoch would be short."""
    found = {
        name: load_base(name, tmp_path).train_dataloader.dataset.frames_per_clip
        for name in ("avss", "avss-224", "s4-224", "ms3-224")
    }
    assert found == {"avss": "one", "avss-224": "one", "s4-224": "one", "ms3-224": "all"}
