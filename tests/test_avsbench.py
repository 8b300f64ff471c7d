"""S4, MS3 and AVSBench-semantic: layouts, flags, masks and the sound of each frame."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from avs_sets import build, keys_of
from benchmark_trees import (
    AVSS_ROWS,
    make_avss,
    make_ms3,
    make_s4,
    write_csv,
    write_mask,
    write_sound,
)
from mmseg.registry import TRANSFORMS
from PIL import Image

import projects.cpm_avs  # noqa: F401
from projects.cpm_avs.datasets.benchmarks.avsbench import (
    AVSBenchMS3Dataset,
    AVSBenchS4Dataset,
    AVSBenchSemanticDataset,
    read_avss,
    source_of,
)
from projects.cpm_avs.datasets.benchmarks.class_names import (
    AVSS_CLASSES,
    S4_CATEGORIES,
    check_label2idx,
)
from projects.cpm_avs.datasets.benchmarks.clip_index import Column, read_table
from projects.cpm_avs.datasets.palette import voc_palette
from projects.cpm_avs.errors import BadSampleError

pytestmark = pytest.mark.usefixtures("mmseg_scope")


def labels_of(item) -> set[int]:
    return set(item["data_samples"].gt_sem_seg.data.unique().tolist())


# ---- class lists


def test_class_lists_have_the_published_sizes_and_order():
    assert len(AVSS_CLASSES) == 71 and len(S4_CATEGORIES) == 23
    assert list(AVSS_CLASSES[1:]) == sorted(AVSS_CLASSES[1:])
    assert AVSS_CLASSES[22] == "emergency-car" and AVSS_CLASSES[70] == "woman"


@pytest.mark.parametrize(
    ("index", "colour"),
    [(0, (0, 0, 0)), (1, (128, 0, 0)), (14, (64, 128, 128)), (43, (192, 128, 64)),
     (56, (64, 64, 64)), (64, (32, 0, 0)), (70, (32, 128, 128))],
)  # fmt: skip
def test_colours_follow_the_voc_rule(index, colour):
    assert tuple(voc_palette(71)[index]) == colour


@pytest.mark.parametrize("first_index", [0, 1])
def test_label2idx_counts_from_either_number(tmp_path, first_index):
    check_label2idx(make_avss(tmp_path, first_index=first_index) / "label2idx.json")


def test_label2idx_may_list_its_names_in_any_order(tmp_path):
    shuffled = {name: k + 1 for k, name in reversed(list(enumerate(AVSS_CLASSES)))}
    (tmp_path / "l.json").write_text(json.dumps(shuffled))
    check_label2idx(tmp_path / "l.json")


def test_label2idx_of_other_classes_is_refused(tmp_path):
    names = [*AVSS_CLASSES[:-1], "zebra"]
    (tmp_path / "l.json").write_text(json.dumps({name: k for k, name in enumerate(names)}))
    with pytest.raises(ValueError, match="zebra.*woman"):
        check_label2idx(tmp_path / "l.json")
    swapped = {name: k for k, name in enumerate(reversed(AVSS_CLASSES))}
    (tmp_path / "l.json").write_text(json.dumps(swapped))
    with pytest.raises(ValueError, match="order"):
        check_label2idx(tmp_path / "l.json")
    (tmp_path / "l.json").write_text('{"background": 0,')
    with pytest.raises(BadSampleError, match=r"l\.json.*original archive"):
        check_label2idx(tmp_path / "l.json")


# ---- the index


@pytest.mark.parametrize(
    "rows",
    [
        [("split", "X", "name"), ("train", "-", "a,b")],  # by name, quoted comma
        [("Name", "other", "Split"), ("a,b", "-", "train")],
        [("a,b", "train")],  # no header: by position
    ],
)
def test_columns_are_found_by_name_or_position(tmp_path, rows):
    path = write_csv(tmp_path / "i.csv", *rows)
    columns = {"name": Column(("name",), 0), "split": Column(("split",), 1)}
    assert [dict(row.values) for row in read_table(path, columns).rows] == [
        dict(name="a,b", split="train")
    ]


def test_a_byte_order_mark_and_blank_lines_are_no_cells(tmp_path):
    path = tmp_path / "i.csv"
    path.write_bytes(b"\xef\xbb\xbfname , split\r\n\r\na, train\r\n")
    columns = {"name": Column(("name",)), "split": Column(("split",))}
    (row,) = read_table(path, columns).rows
    assert dict(row.values) == dict(name="a", split="train") and row.line == 3


def test_a_bad_index_is_named_with_the_remedy(tmp_path):
    path = write_csv(tmp_path / "i.csv", ("name", "split"), ("a",))
    with pytest.raises(ValueError, match="line 2: 1 cells"):
        read_table(path, {"name": Column(("name",)), "split": Column(("split",))})
    with pytest.raises(ValueError, match="no column label"):
        read_table(path, {"name": Column(("name",)), "label": Column(("label",))})
    path.write_text("\n")
    with pytest.raises(ValueError, match="empty"):
        read_table(path, {"name": Column(("name",), 0)})
    for name, mark in (("semicolons", ";"), ("tabs", "\t")):
        path.write_text(f"name{mark}split\na{mark}train\n")
        with pytest.raises(BadSampleError, match=f"separated by {name}. Save it as CSV with com"):
            read_table(path, {"name": Column(("name",), 0), "split": Column(("split",), 1)})
    for content in ("name\nM\u00fcnchen\n".encode("latin-1"), "name\na\n".encode("utf-16")):
        path.write_bytes(content)
        with pytest.raises(BadSampleError, match=r"i\.csv: .*UTF-8"):
            read_table(path, {"name": Column(("name",), 0)})
    with pytest.raises(BadSampleError, match="data/README.md"):
        build(AVSBenchS4Dataset, tmp_path / "nowhere", "train")


def test_a_column_that_a_header_lacks_is_not_taken_by_its_place(tmp_path):
    path = write_csv(tmp_path / "i.csv", ("name", "kind"), ("a", "train"))
    columns = {"name": Column(("name",), 0), "split": Column(("split",), 1)}
    with pytest.raises(BadSampleError, match=r"i\.csv: no column split"):
        read_table(path, columns)


@pytest.mark.parametrize(("cell", "frames"), [("", set()), ("3 1", {1, 3}), ("1;2", None)])
def test_frames_to_skip_are_numbers(tmp_path, cell, frames):
    path = write_csv(tmp_path / "i.csv", ("name", "skip_frames"), ("a", cell))
    columns = {"name": Column(("name",), 0)}
    if frames is None:
        with pytest.raises(BadSampleError, match=r"i\.csv, line 2: skip_frames holds '1;2'"):
            read_table(path, columns)
    else:
        assert read_table(path, columns).rows[0].skipped_frames == frames


# ---- S4 and MS3


def test_s4_trains_on_the_first_frame_and_tests_on_all(tmp_path):
    root = make_s4(tmp_path)
    assert keys_of(build(AVSBenchS4Dataset, root, "train")) == [("t0", 0)]
    assert keys_of(build(AVSBenchS4Dataset, root, "test")) == [("e0", k) for k in range(5)]


def test_object_sets_load_and_are_binary(tmp_path):
    s4, ms3 = make_s4(tmp_path / "s4"), make_ms3(tmp_path / "ms3")
    for dataset in (build(AVSBenchS4Dataset, s4, "test"), build(AVSBenchMS3Dataset, ms3, "train")):
        assert dataset.metainfo["classes"] == ("background", "sounding")
        assert len(dataset) == 5 and all(labels_of(item) == {0, 1} for item in dataset)
    info = dataset.get_data_info(2)
    assert info["img_path"].endswith("visual_frames/t0/t0.mp4_3.png")
    assert info["seg_map_path"].endswith("gt_masks/train/t0/t0_3.png")
    assert info["audio_start"] == 2.0 and info["subset"] == "v1m"


def test_offscreen_sounds_come_from_another_category_where_one_is_known(tmp_path):
    s4 = build(AVSBenchS4Dataset, make_s4(tmp_path / "s4"), "test", audio_condition="offscreen")
    with pytest.raises(ValueError, match="race_car"):  # the only category of the made test split
        s4[0]
    ms3 = make_ms3(tmp_path / "ms3")
    dataset = build(AVSBenchMS3Dataset, ms3, "test", audio_condition="offscreen")
    with pytest.raises(ValueError, match="MS3 does not say what sounds.*v1m"):
        dataset[0]


# ---- AVSBench-semantic


def test_avss_flags_of_each_subset(tmp_path):
    root = make_avss(tmp_path)
    train = keys_of(build(AVSBenchSemanticDataset, root, "train"))
    assert train == [("a_0", 0)] + [("b_0", k) for k in range(5)]
    test = keys_of(build(AVSBenchSemanticDataset, root, "test"))
    assert test == [("c_0", k) for k in range(5)] + [("d_0", k) for k in range(10)]
    only_v1s = build(AVSBenchSemanticDataset, root, "test", subsets=("v1s",))
    assert {clip for clip, _ in keys_of(only_v1s)} == {"c_0"}


@pytest.mark.parametrize("label_dir", ["labels_semantic", "labels_rgb"])
def test_avss_masks_as_indices_and_as_colours(tmp_path, label_dir):
    dataset = build(AVSBenchSemanticDataset, make_avss(tmp_path), "train", label_dir=label_dir)
    assert labels_of(dataset[0]) == {0, AVSS_CLASSES.index("dog")}
    assert labels_of(dataset[1]) == {0, AVSS_CLASSES.index("man")}


@pytest.mark.parametrize("label_dir", ["labels_semantic", "labels_rgb"])
def test_avss_masks_of_chosen_classes(tmp_path, label_dir):
    chosen = dict(metainfo=dict(classes=("background", "man")), label_dir=label_dir)
    dataset = build(AVSBenchSemanticDataset, make_avss(tmp_path), "train", **chosen)
    assert labels_of(dataset[0]) == {0, 255} and labels_of(dataset[1]) == {0, 1}


def test_offscreen_sounds_are_of_no_class_that_the_clip_names(tmp_path):
    """A silent frame of d_0 (man, woman) still shows them: neither its clip nor a man is heard."""
    root = make_avss(tmp_path)
    write_mask(root / "v2/d_0/labels_semantic/3.png", 0)
    dataset = build(AVSBenchSemanticDataset, root, "test", audio_condition="offscreen")
    keys = keys_of(dataset)
    silent = keys.index(("d_0", 3))
    info = dataset.get_data_info(silent)
    assert dataset.heard_classes(info) == set()
    assert {"man", "woman"} <= dataset.visible_classes(info)
    for idx, (clip_id, _) in enumerate(keys):
        assert keys[dataset.offscreen_donor(idx)][0] == dict(c_0="d_0", d_0="c_0")[clip_id]
    index = root / "metadata.csv"
    index.write_text(index.read_text().replace("emergency-car,", "woman,"))
    dataset = build(AVSBenchSemanticDataset, root, "test", audio_condition="offscreen")
    with pytest.raises(ValueError, match="woman"):
        dataset.offscreen_donor(silent)


def test_avss_sources_travel_with_the_items(tmp_path):
    dataset = build(AVSBenchSemanticDataset, make_avss(tmp_path), "test")
    sources = {item["data_samples"].clip_id: item["data_samples"].source for item in dataset}
    assert sources == {"c_0": "ss", "d_0": "ms"}  # a hyphen belongs to one name
    assert {item["data_samples"].subset for item in dataset} == {"v1s", "v2"}


@pytest.mark.parametrize(
    ("a_obj", "source"),
    [("dog", "ss"), ("emergency-car", "ss"), ("man_guitar", "ms"), ("man_man", "ss"), ("", None)],
)
def test_source_by_the_number_of_names(a_obj, source):
    assert source_of(a_obj) == source


def test_avss_index_without_header_is_read_by_position(tmp_path):
    root = make_avss(tmp_path)
    named = read_avss(root, root / "metadata.csv")
    bare = write_csv(tmp_path / "bare.csv", *AVSS_ROWS)
    assert [clip.frames for clip in read_avss(root, bare)] == [clip.frames for clip in named]


def test_avss_items_keep_the_frame_size_and_refuse_unknown_labels(tmp_path):
    root = make_avss(tmp_path)
    item = build(AVSBenchSemanticDataset, root, "train")[0]
    assert item["data_samples"].ori_shape == (24, 32)
    mask = np.full((24, 32), 71, np.uint8)
    Image.fromarray(mask).save(root / "v1s/a_0/labels_semantic/0.png")
    with pytest.raises(BadSampleError, match="71"):
        build(AVSBenchSemanticDataset, root, "train")[0]


def test_bad_arguments_name_the_choices(tmp_path):
    with pytest.raises(ValueError, match="train, val, test"):
        AVSBenchS4Dataset(split="trian", data_root=str(tmp_path))
    with pytest.raises(ValueError, match="labels_rgb"):
        AVSBenchSemanticDataset(split="train", label_dir="labels", data_root=str(tmp_path))
    with pytest.raises(ValueError, match="v1s, v1m, v2"):
        AVSBenchSemanticDataset(split="train", subsets=("v3",), data_root=str(tmp_path))
    for name, value in (("data_prefix", dict(img_path="x")), ("img_suffix", ".png")):
        with pytest.raises(ValueError, match=f"AVSBenchS4Dataset takes no {name}: .*own-data.md"):
            AVSBenchS4Dataset(split="train", data_root=str(tmp_path), **{name: value})


# ---- sound


@pytest.mark.parametrize("seconds", [5, 10])
def test_frame_k_hears_second_k(tmp_path, seconds):
    """Against a slice of the file: samples [16000k, 16000k + 15360)."""
    path = write_sound(tmp_path / "a.wav", seconds)
    samples = soundfile.read(path, dtype="float32")[0]
    load = TRANSFORMS.build(dict(type="LoadAudioWindow"))
    for k in range(seconds):
        heard = load(dict(audio_path=str(path), audio_start=float(k)))["waveform"]
        assert heard.shape == (1, 15360)
        np.testing.assert_array_equal(heard[0], samples[16000 * k : 16000 * k + 15360])


def test_the_index_gives_frame_k_its_second_in_both_lengths(tmp_path):
    dataset = build(AVSBenchSemanticDataset, make_avss(tmp_path), "test")
    infos = [dataset.get_data_info(k) for k in range(len(dataset))]
    assert [info["audio_start"] for info in infos] == [
        *map(float, range(5)),
        *map(float, range(10)),
    ]


# ---- real items


def copy_item(item: Path, image: Path, mask: Path, sound: Path) -> None:
    sources = sorted(item.glob("*.jpg"))[0], sorted(item.glob("*.png"))[0], item / "audio.wav"
    for source, target in zip(sources, (image, mask, sound), strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == source.suffix:
            shutil.copy(source, target)
        else:
            Image.open(source).save(target)


def test_real_s4_item(samples_dir, tmp_path):
    mask = tmp_path / "s4_data/gt_masks/train/dog_barking/x/x_1.png"
    copy_item(
        samples_dir / "avsbench_s4",
        tmp_path / "s4_data/visual_frames/train/dog_barking/x/x_1.png",
        mask,
        tmp_path / "s4_data/audio_wav/train/dog_barking/x.wav",
    )
    header = ("name", "start", "category", "split")
    write_csv(tmp_path / "s4_meta_data.csv", header, ("x", 0, "dog_barking", "train"))
    item = build(AVSBenchS4Dataset, tmp_path, "train")[0]
    stored = np.asarray(Image.open(mask))
    assert set(np.unique(stored)) == {0, 45}
    gt = item["data_samples"].gt_sem_seg.data[0].numpy()
    np.testing.assert_array_equal(gt, stored == 45)
    assert item["inputs"]["img"].shape == (3, 540, 720) and item["inputs"]["waveform"].any()


def test_real_ms3_item(samples_dir, tmp_path):
    mask = tmp_path / "ms3_data/gt_masks/train/x/x_1.png"
    copy_item(
        samples_dir / "avsbench_ms3",
        tmp_path / "ms3_data/visual_frames/x/x.mp4_1.png",
        mask,
        tmp_path / "ms3_data/audio_wav/train/x.wav",
    )
    write_csv(tmp_path / "ms3_meta_data.csv", ("video_id", "split"), ("x", "train"))
    item = build(AVSBenchMS3Dataset, tmp_path, "train")[0]
    stored = np.asarray(Image.open(mask))
    assert set(np.unique(stored)) == {0, 9, 41}
    gt = item["data_samples"].gt_sem_seg.data[0].numpy()
    np.testing.assert_array_equal(gt, stored > 0)


def test_real_avss_item_in_colours(samples_dir, tmp_path):
    copy_item(
        samples_dir / "avsbench_avss",
        tmp_path / "v2/x/frames/0.jpg",
        tmp_path / "v2/x/labels_rgb/0.png",
        tmp_path / "v2/x/audio.wav",
    )
    row = ("x", "x", 0, 0, "clarinet", "test", "v2")
    write_csv(tmp_path / "metadata.csv", ("vid", "uid", "", "", "a_obj", "split", "label"), row)
    item = build(AVSBenchSemanticDataset, tmp_path, "test", label_dir="labels_rgb")[0]
    assert labels_of(item) == {0, 14} and AVSS_CLASSES[14] == "clarinet"
    stored = np.asarray(Image.open(tmp_path / "v2/x/labels_rgb/0.png"))
    gt = item["data_samples"].gt_sem_seg.data[0].numpy()
    np.testing.assert_array_equal(gt == 14, (stored == (64, 128, 128)).all(axis=-1))
    assert item["inputs"]["waveform"].shape == (1, 15360)  # from 48 kHz stereo
