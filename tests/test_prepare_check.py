"""The checker: every kind of planted defect is found, and nothing else."""

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from benchmark_trees import (
    AVSS_ROWS,
    VPO_HEADER,
    make_avss,
    make_mixed_vpo,
    make_ms3,
    make_s4,
    make_vpo,
    write_csv,
    write_mask,
    write_mask_array,
    write_sound,
)
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from PIL import Image

import projects.cpm_avs  # noqa: F401
from projects.cpm_avs.commands import prepare_data
from projects.cpm_avs.datasets.prepare import check as check_command
from projects.cpm_avs.datasets.prepare.benchmarks import benchmark
from projects.cpm_avs.datasets.prepare.defects import KINDS

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
#: All kinds but that of an index that lists nothing.
PLANTED = tuple(kind for kind in KINDS if kind != "no_rows")
HEADER = ("vid", "uid", "s_min", "s_sec", "a_obj", "split", "label")


def run(name: str, root: Path, *options: str) -> int:
    parser = argparse.ArgumentParser()
    check_command.add_arguments(parser)
    return check_command.run(parser.parse_args([name, "--root", str(root), *options]))


def check(name: str, root: Path, *options: str) -> tuple[int, dict]:
    out = root / "report.json"
    status = run(name, root, "--json", str(out), *options)
    return status, json.loads(out.read_text())


@pytest.mark.parametrize(
    ("name", "make"),
    [("s4", make_s4), ("ms3", make_ms3), ("avss", make_avss), ("vpo-ss", make_vpo),
     ("vpo-ms", make_vpo)],
)  # fmt: skip
def test_a_clean_tree_is_clean(tmp_path, name, make, capsys):
    root = make(tmp_path)
    if make is make_vpo:  # the made airplane is 2 s long on purpose
        write_sound(root / "vggsound_bench/VGGSound/audios/airplane_2.wav", 3.0)
    status, report = check(name, root)
    assert status == 0 and report["defects"] == [] and "No defects" in capsys.readouterr().out


def test_counts_stand_beside_the_published_ones(tmp_path, capsys):
    status, report = check("avss", make_avss(tmp_path))
    assert status == 0
    assert report["counts"]["train"] == dict(
        clips=2, published=8498, frames=10, labelled=6, usable=6
    )
    assert report["counts"]["test"]["labelled"] == 15
    assert report["counts"]["test, ss"]["clips"] == 1
    assert report["counts"]["test, ms"]["published"] == 276
    assert "8498 (differs)" in capsys.readouterr().out


def plant(root: Path) -> list[tuple[object, ...]]:
    """Every kind of defect once, each in a clip of its own; the rows of the index."""
    v2 = root / "v2"

    def clip(uid: str) -> Path:
        folder = v2 / uid
        write_sound(folder / "audio.wav", 10.0)
        source = v2 / "d_0"
        for kind in ("frames", "labels_semantic"):
            (folder / kind).mkdir()
            for path in (source / kind).iterdir():
                (folder / kind / path.name).write_bytes(path.read_bytes())
        return folder

    def truncate(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-40])

    rows: list[tuple[object, ...]] = [*AVSS_ROWS]
    for kind in PLANTED:
        if kind != "duplicate":
            rows.append((kind, kind, 0, 0, "dog", "test", "v2"))
            clip(kind)
    (v2 / "missing_frame/frames/3.jpg").unlink()
    truncate(v2 / "unreadable_frame/frames/3.jpg")
    (v2 / "missing_mask/labels_semantic/3.png").unlink()
    (v2 / "unreadable_mask/labels_semantic/3.png").write_bytes(b"")
    write_mask(v2 / "unknown_label/labels_semantic/3.png", 71)
    write_mask(v2 / "wrong_size/labels_semantic/3.png", 17, (48, 64))
    (v2 / "missing_audio/audio.wav").unlink()
    truncate(v2 / "unreadable_audio/audio.wav")
    soundfile.write(v2 / "silent_audio/audio.wav", np.zeros(160000), 16000)
    write_sound(v2 / "short_audio/audio.wav", 9.0)
    rows.append(AVSS_ROWS[0])
    index = {row[1]: k for k, row in enumerate(rows)}
    rows[index["bad_row"]] = ("", "bad_row", 0, 0, "dog", "tset", "v2")
    rows[index["unknown_class"]] = ("", "unknown_class", 0, 0, "dgo", "test", "v2")
    write_csv(root / "metadata.csv", HEADER, *rows)
    return rows


@pytest.mark.parametrize("cell", ["", "_", "  "])
def test_a_row_that_names_nothing_that_sounds_is_reported(tmp_path, cell):
    """Its clip would be in no part of the test set, single-source or multi-source."""
    root = make_avss(tmp_path)
    rows = [[*row] for row in AVSS_ROWS]
    rows[-1][4] = cell
    write_csv(root / "metadata.csv", HEADER, *rows)
    status, report = check("avss", root)
    assert status == 1 and report["by_kind"] == dict(unknown_class=1)
    assert report["defects"][0]["line"] == len(rows) + 1
    assert report["defects"][0]["detail"] == "nothing is named that sounds"


@pytest.mark.parametrize("workers", ["1", "4"])
def test_every_planted_kind_is_reported_once_and_nothing_else(tmp_path, workers, capsys):
    root = make_avss(tmp_path)
    plant(root)
    status, report = check("avss", root, "--workers", workers)
    assert status == 1 and len(PLANTED) == 13
    assert Counter(report["by_kind"]) == Counter(PLANTED)
    for defect in report["defects"]:
        if defect["kind"] != "duplicate":
            assert defect["clip_id"] == defect["kind"]
        if KINDS[defect["kind"]] == "frame":
            assert defect["frame"] == 3 and Path(defect["path"]).stem == "3"
            assert defect["path"].startswith(f"v2/{defect['kind']}/")
    (duplicate,) = (d for d in report["defects"] if d["kind"] == "duplicate")
    assert duplicate["clip_id"] == "a_0" and "line 2" in duplicate["detail"]
    table = capsys.readouterr().out
    assert all(kind in table for kind in PLANTED)


def test_the_repaired_index_loads_in_full_and_is_clean_of_what_was_left_out(tmp_path):
    init_default_scope("mmseg")
    root = make_avss(tmp_path)
    plant(root)
    check("avss", root, "--fix-index", str(root / "fixed.csv"))
    settings = dict(
        type="AVSBenchSemanticDataset",
        data_root=str(root),
        ann_file="fixed.csv",
        split="test",
        test_mode=True,  # raises at what can't be loaded
        pipeline=[
            dict(type="LoadAVSFrame"),
            dict(type="LoadAVSMask"),
            dict(type="LoadAudioWindow"),
            dict(type="PackAVSInputs"),
        ],
    )
    dataset = DATASETS.build(settings)
    items = [item["data_samples"] for item in dataset]
    frames = Counter(item.clip_id for item in items)
    whole = ("unknown_class", "silent_audio", "short_audio", "d_0")
    partly = [kind for kind, left_out in KINDS.items() if left_out == "frame"]
    assert frames == {"c_0": 5} | dict.fromkeys(whole, 10) | dict.fromkeys(partly, 9)
    assert not any(item.clip_id in partly and item.frame_index == 3 for item in items)
    status, report = check("avss", root, "--index", str(root / "fixed.csv"))
    assert status == 1 and set(report["by_kind"]) == {
        kind for kind in PLANTED if KINDS[kind] == "nothing"
    }
    again = ("--index", str(root / "fixed.csv"), "--fix-index", str(root / "again.csv"))
    run("avss", root, *again)
    assert (root / "again.csv").read_text() == (root / "fixed.csv").read_text()


def test_the_repaired_index_keeps_the_form_where_all_frames_are_good(tmp_path):
    root = make_s4(tmp_path)
    (root / "s4_data/audio_wav/val/race_car/v0.wav").unlink()
    status, report = check("s4", root, "--fix-index", str(root / "fixed.csv"))
    assert status == 1 and report["by_kind"] == dict(missing_audio=1)
    assert (root / "fixed.csv").read_text().splitlines() == [
        "name,start,category,split",
        "t0,0,dog_barking,train",
        "e0,0,race_car,test",
    ]


def test_bad_rows_are_reported_without_the_files_they_lack(tmp_path):
    root = make_s4(tmp_path)
    with (root / "s4_meta_data.csv").open("a") as file:
        file.write("t0,0,dog_barking,test\nx0,0,race_car,tset\n")
    status, report = check("s4", root)
    assert status == 1 and report["by_kind"] == dict(duplicate=1, bad_row=1)
    assert report["counts"]["test"]["clips"] == 1


def test_unlabelled_training_frames_are_checked_too(tmp_path):
    root = make_s4(tmp_path)
    (root / "s4_data/visual_frames/train/dog_barking/t0/t0_4.png").unlink()
    _, report = check("s4", root)
    assert [(d["kind"], d["frame"]) for d in report["defects"]] == [("missing_frame", 3)]
    assert report["counts"]["train"]["usable"] == 1


def test_colour_masks_are_checked_by_their_colours(tmp_path):
    root = make_avss(tmp_path)
    odd = np.full((24, 32, 3), 1, np.uint8)
    write_mask_array(root / "v2/d_0/labels_rgb/7.png", odd)
    assert check("avss", root)[0] == 0
    status, report = check("avss", root, "--labels", "labels_rgb")
    assert status == 1 and [d["kind"] for d in report["defects"]] == ["unknown_label"]


def test_a_mask_whose_classes_were_renumbered_is_reported(tmp_path):
    """By a program that keeps the colours that occur."""
    root = make_avss(tmp_path)
    path = root / "v2/d_0/labels_semantic/7.png"
    Image.fromarray(np.eye(24, 32, dtype=np.uint8) * 60).quantize(4).save(path)
    status, report = check("avss", root)
    assert status == 1 and [d["kind"] for d in report["defects"]] == ["unreadable_mask"]
    assert "renumbered the classes" in report["defects"][0]["detail"]


def test_defects_of_vpo(tmp_path):
    root = make_vpo(tmp_path)
    index = root / "VPO/VPO-MS/vpo_ms_data_stereo.csv"
    car = (36, 1, "car", 3, "car_10", "train", 0.1, 0)
    lost = (37, 4, "car", 3, "car_10", "train", 0.1, 0)
    write_csv(index, VPO_HEADER, car, (36, 2, "plane", 5, "airplane_2", "train", 0.8, 0), car, lost)
    write_mask(root / f"VPO/VPO-MS/mask/{36:012}.png", 1)  # COCO's person is no class of VPO
    status, report = check("vpo-ms", root, "--fix-index", str(root / "fixed.csv"))
    assert status == 1 and report["by_kind"] == dict(
        duplicate=1, unknown_class=1, unknown_label=1, short_audio=1,
        missing_frame=1, missing_mask=1,
    )  # fmt: skip
    assert (root / "fixed.csv").read_text().splitlines() == [",".join(VPO_HEADER)]


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ((36, 2, "airplane", 5, "airplane_2", "test", 0.8, 0), "several splits"),
        ((36, 2, "airplane", 5, "airplane_2", "train", 0.8, 1), "multi_instance"),
        ((36, 2, "airplane", 5, "airplane_2", "train", "left", 0), "audio_pos='left' in line 3"),
    ],
)
def test_an_image_goes_with_all_its_rows(tmp_path, second, reason):
    root = make_vpo(tmp_path)
    index = root / "VPO/VPO-MSMI/vpo_msmi_data_stereo.csv"
    dogs = (49, 3, "dog", 18, "dog_10", "test", 0.5, 1)
    write_csv(
        index, VPO_HEADER, (36, 1, "car", 3, "car_10", "train", 0.1, 0), second, dogs,
        (50, 4, "dog", 18, "dog_10", "tset", 0.5, 1), (50, 5, "dog", 18, "cat_10", "tset", 0.5, 1),
    )  # fmt: skip
    status, report = check("vpo-msmi", root, "--fix-index", str(root / "fixed.csv"))
    assert status == 1 and report["by_kind"] == dict(bad_row=4)
    assert [defect["line"] for defect in report["defects"]] == [2, 3, 5, 6]
    assert reason in report["defects"][0]["detail"] == report["defects"][1]["detail"]
    assert (root / "fixed.csv").read_text().splitlines()[1:] == [",".join(map(str, dogs))]


def test_the_folders_of_the_output_are_made_first(tmp_path, capsys):
    root = make_s4(tmp_path)
    out = ("--json", str(root / "a/b/report.json"), "--fix-index", str(root / "c/fixed.csv"))
    assert run("s4", root, *out) == 0
    assert (root / "a/b/report.json").is_file() and (root / "c/fixed.csv").is_file()
    (root / "file").write_text("")
    blocked = ["check", "s4", "--root", str(root), "--json", str(root / "file/report.json")]
    capsys.readouterr()
    assert prepare_data.main(blocked) == 2
    caught = capsys.readouterr()
    assert caught.err.startswith("error: ") and "file" in caught.err and caught.out == ""
    assert prepare_data.main(["check", "s4", "--root", str(root), "--fix-index", str(root)]) == 2
    caught = capsys.readouterr()
    assert caught.err == f"error: '{root}' is a folder; name a file in it\n" and caught.out == ""


@pytest.mark.parametrize("option", ["--json", "--fix-index"])
@pytest.mark.parametrize("by", ["name", "symlink", "hard link"])
def test_nothing_that_is_read_is_written_over(tmp_path, capsys, option, by):
    root = make_avss(tmp_path)
    (root / "label2idx.json").write_text("{}")
    for read, owner in [("metadata.csv", "the index"), ("label2idx.json", "the list of classes")]:
        out, before = root / read, (root / read).read_bytes()
        if by != "name":
            out = root / f"other-{read}"
            (out.symlink_to if by == "symlink" else out.hardlink_to)(root / read)
        assert run("avss", root, option, str(out)) == 2
        assert f"error: {option} {out} is {owner}" in capsys.readouterr().err
        assert (root / read).read_bytes() == before


def test_a_frame_of_a_size_that_no_picture_has_is_a_defect(tmp_path, monkeypatch):
    root = make_s4(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)  # from twice as many on Pillow raises
    status, report = check("s4", root)
    assert status == 1 and set(report["by_kind"]) == {"unreadable_frame", "unreadable_mask"}


def test_the_whole_path_of_a_defect_is_shown(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    root = make_s4(tmp_path)
    (mask,) = list(root.glob("s4_data/gt_masks/train/**/*.png"))[:1]
    mask.unlink()
    check("s4", root)
    shown = "".join(line.rsplit("│", 2)[1].strip() for line in capsys.readouterr().out.splitlines()
                    if line.count("│") > 2)  # fmt: skip
    assert str(mask.relative_to(root)) in shown


@pytest.mark.parametrize("name", ["s4-224", "ms3-224", "avss", "avss-224"])
def test_configs_expect_the_published_numbers(name):
    evaluators = Config.fromfile(CONFIGS / f"_base_/datasets/{name}.py").test_evaluator
    metric = evaluators[0] if isinstance(evaluators, list) else evaluators
    spec = benchmark(name.split("-")[0])
    assert metric.expected_clips == dict(total=spec.clips["test"], **spec.sources)


def test_the_second_layout_of_vpo(tmp_path):
    root = make_mixed_vpo(tmp_path)
    index = str(root / "vpo.csv")
    status, report = check("vpo-ms", root, "--index", index)
    assert status == 0 and report["counts"]["test"]["usable"] == 1
    (root / "u1/stereo_audio.wav").unlink()
    status, report = check("vpo-ms", root, "--index", index)
    assert status == 1 and report["by_kind"] == dict(missing_audio=1)


def test_nothing_to_check_is_an_error_of_use(tmp_path, capsys):
    assert run("ms3", tmp_path) == 2
    assert "ms3_meta_data.csv" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        run("ade20k", tmp_path)
    assert stop.value.code == 2


def test_a_table_of_other_classes_stops_the_check(tmp_path):
    root = make_avss(tmp_path)
    (root / "label2idx.json").write_text('{"background": 0, "zebra": 1}')
    with pytest.raises(ValueError, match="zebra"):
        run("avss", root)
