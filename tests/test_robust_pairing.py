"""AVSBench-Robust's off-screen sounds of S4 and MS3: who hears whom, from seed 42."""

import random

import pytest
import torch
from benchmark_trees import make_ms3, make_s4, write_csv, write_frame, write_mask, write_sound
from mmseg.registry import DATASETS

from projects.cpm_avs.datasets.benchmarks.class_names import AVSS_CLASSES, S4_CATEGORIES
from projects.cpm_avs.datasets.benchmarks.clip_index import Clip
from projects.cpm_avs.datasets.benchmarks.robust_pairing import (
    MS3_KINDS,
    S4_KINDS,
    pair_ms3,
    pair_s4,
)
from projects.cpm_avs.errors import UserError

pytestmark = pytest.mark.usefixtures("mmseg_scope")

PIPELINE = [dict(type="LoadAVSFrame"), dict(type="LoadAudioWindow"), dict(type="PackAVSInputs")]


def clip(name: str, split: str, *classes: str) -> Clip:
    return Clip(name, split, "", (), (), 5.0, classes=classes)


def test_every_name_has_a_kind():
    assert sorted(sum(S4_KINDS.values(), ())) == list(S4_CATEGORIES)
    assert set(sum(MS3_KINDS.values(), ())) < set(AVSS_CLASSES)


def test_s4_by_hand():
    """One clip a category; music may not hear people, nor people music, nor animals people."""
    names = dict(
        p="playing_piano", v="playing_violin", b="baby_laughter", d="dog_barking", h="helicopter"
    )
    clips = [clip(name, "test", category) for name, category in names.items()]
    # In the order of categories: baby, dog, helicopter, piano, violin.
    choices = [["d", "h"], ["p", "v", "h"], ["p", "v", "b", "d"], ["d", "h"], ["d", "h"]]
    random.seed(42)
    expected = {}
    for hearing, foreign in zip("bdhpv", choices, strict=True):
        expected[hearing] = random.choice(foreign)
        random.choice([0])  # the one clip of that category
    assert pair_s4(clips) == expected
    assert pair_s4(clips[::-1]) == expected


def test_s4_goes_on_with_one_stream_through_test_train_and_val():
    splits = {
        split: [clip(f"{split}{k}", split, name) for k, name in enumerate(S4_CATEGORIES * 3)]
        for split in ("train", "test", "val")
    }
    pairs = pair_s4(sum(splits.values(), []))
    of_test = pair_s4(splits["test"])
    assert of_test.items() <= pairs.items() and len(pairs) == 3 * 69
    assert pairs != pairs | pair_s4(splits["train"])  # from seed 42 alone they would be others
    kind_of = {name: kind for kind, names in S4_KINDS.items() for name in names}
    category = {one.clip_id: one.classes[0] for one in sum(splits.values(), [])}
    heard = {(kind_of[category[a]], kind_of[category[b]]) for a, b in pairs.items()}
    assert heard == {
        ("music", "animal"), ("music", "device"), ("human", "animal"), ("human", "device"),
        ("animal", "music"), ("animal", "device"), ("device", "music"), ("device", "human"),
        ("device", "animal"),
    }  # fmt: skip
    assert all(a.rstrip("0123456789") == b.rstrip("0123456789") for a, b in pairs.items())


def test_s4_without_a_foreign_kind_hears_any_other_category():
    cats_and_lions = [clip("c", "val", "cat_meowing"), clip("l", "val", "lions_roaring")]
    assert pair_s4(cats_and_lions) == dict(c="l", l="c")
    unknown = [clip("z", "val", "zither"), clip("l", "val", "lions_roaring")]
    assert pair_s4(unknown) == dict(z="l", l="z")
    assert pair_s4(cats_and_lions[:1]) == {}


def test_ms3_by_hand():
    """A dog may hear neither animals nor people; the duo of man and guitar animals and devices."""
    clips = [
        clip("e", "test", "dog"),
        clip("a", "test", "man", "guitar"),
        clip("d", "test", "bus"),
        clip("c", "test", "cat", "lion"),
        clip("b", "test", "piano"),
        clip("n", "test", "thunder"),
        clip("t", "train", "saw"),
    ]
    order = ["n", "e", "d", "c", "b", "a", "t", "gone"]
    random.seed(42)
    expected = {
        "a": random.choice(["n", "e", "d", "c"]),
        "b": random.choice(["n", "e", "d", "c"]),
        "c": random.choice(["n", "d", "b"]),
        "d": random.choice(["n", "e", "c"]),  # no music
        "e": random.choice(["n", "d", "b"]),
        "n": random.choice(["e", "d", "c", "b", "a"]),  # of no kind: any other
    }
    assert pair_ms3(clips, order) == expected


def add_s4_clip(root, name, category):
    index = root / "s4_meta_data.csv"
    index.write_text(index.read_text() + f"{name},0,{category},test\n")
    write_sound(root / f"s4_data/audio_wav/test/{category}/{name}.wav", 5.0, seed=1)
    for k in range(1, 6):
        folder = root / "s4_data"
        write_frame(folder / f"visual_frames/test/{category}/{name}/{name}_{k}.png", k)
        write_mask(folder / f"gt_masks/test/{category}/{name}/{name}_{k}.png", 255)


def build(kind, root, **settings):
    return DATASETS.build(
        dict(type=kind, data_root=str(root), split="test", test_mode=True, pipeline=PIPELINE)
        | settings
    )


def test_a_frame_hears_its_second_of_the_other_clip(tmp_path):
    root = make_s4(tmp_path)
    with pytest.raises(UserError, match="no sound is foreign to the clip e0"):
        build("AVSBenchS4Dataset", root, audio_condition="offscreen")[0]
    add_s4_clip(root, "e1", "cat_meowing")
    plain = build("AVSBenchS4Dataset", root)
    swapped = build("AVSBenchS4Dataset", root, audio_condition="offscreen")
    for idx in range(10):
        other = (idx + 5) % 10
        assert swapped.offscreen_donor(idx) == other
        assert torch.equal(swapped[idx]["inputs"]["waveform"], plain[other]["inputs"]["waveform"])


def test_ms3_takes_what_sounds_from_avsbench_semantic(tmp_path):
    root = make_ms3(tmp_path / "AVSBench-object" / "Multi-sources")
    index = root / "ms3_meta_data.csv"
    index.write_text(index.read_text() + "e1,test\n")
    for k in range(1, 6):
        write_frame(root / f"ms3_data/visual_frames/e1/e1.mp4_{k}.png", k)
        write_mask(root / f"ms3_data/gt_masks/test/e1/e1_{k}.png", 45)
    with pytest.raises(UserError, match=r"AVSBench-semantic/metadata.csv is missing or lacks"):
        build("AVSBenchMS3Dataset", root).offscreen_donor(0)
    rows = [
        ("vid", "uid", "s_min", "s_sec", "a_obj", "split", "label"),
        ("e0", "e0_0", 0, 0, "man_piano", "test", "v1m"),
        ("e1", "e1_0", 0, 0, "dog", "test", "v1m"),
        ("e1", "e1_5", 0, 0, "cat", "test", "v2"),
    ]
    metadata = write_csv(tmp_path / "AVSBench-semantic" / "metadata.csv", *rows)
    dataset = build("AVSBenchMS3Dataset", root)
    assert [dataset.offscreen_donor(idx) for idx in range(10)] == [*range(5, 10), *range(5)]
    assert dataset.get_data_info(5)["classes"] == ["dog"]
    elsewhere = metadata.rename(tmp_path / "index.csv")
    named = build("AVSBenchMS3Dataset", root, semantic_index=str(elsewhere))
    assert named.offscreen_donor(3) == 8
