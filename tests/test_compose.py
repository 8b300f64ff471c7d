"""``prepare_data.py compose``: from sources to a set that is whole and can be trained on."""

import csv
import json
import re
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
from compose_sources import (
    BOX,
    annotation,
    make_coco,
    make_esc50,
    make_photos,
    make_sounds,
    mask,
    picture,
    polygon,
    save,
    save_sound,
    sound,
    uncompressed,
)
from composed_sets import CLASSES, compose, index, left_out, listed, of_stem, times
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from tiny_config import check_step_and_prediction, shrink

from projects.cpm_avs.commands import prepare_data
from projects.cpm_avs.datasets.avs_dataset import SPLITS
from projects.cpm_avs.datasets.composed.composed_dataset import ComposedDataset
from projects.cpm_avs.datasets.composing.counts import ClassCount, shortages

ROOT = Path(__file__).resolve().parents[1]


def test_a_set_is_whole_checked_and_can_be_composed(sources, capsys):
    assert compose(*sources) == 0
    printed = capsys.readouterr().out
    rows = index()
    assert Counter((row["kind"], row["class"]) for row in rows) == {
        **{("photo", name): 6 for name in (*CLASSES, "bike")},
        **{("sound", name): 6 for name in (*CLASSES, "rain")},
    }
    for kind, name in {(row["kind"], row["class"]) for row in rows}:
        of_class = [row for row in rows if (row["kind"], row["class"]) == (kind, name)]
        assert {row["split"] for row in of_class} == set(SPLITS)
    made = {path for path in Path("set").rglob("*") if path.is_file()}
    beside = {"index.csv", "left_out.csv", "README.md", "compose.json", ".lock"}
    beside |= {f"sheets/{name}.jpg" for name in (*CLASSES, "bike", "rain")}
    assert made == listed() | {Path("set", name) for name in beside}
    assert "3 labelled classes (num_classes=4)" in printed
    for word in ("labelled", "silent object", "off-screen sound", "fewer than 20", "'ms' need 6"):
        assert word in printed
    assert left_out() == []
    assert prepare_data.main(["check", "composed", "--root", "set"]) == 0

    init_default_scope("mmseg")
    for split in SPLITS:
        scenes = ComposedDataset(data_root="set", subset="ss", split=split, num_scenes=4)
        assert scenes.metainfo["classes"] == ("background", *CLASSES)
        assert {len(scenes.compose(i, i)["img"]) for i in range(4)} == {160}


def test_a_set_can_be_trained_on(sources):
    assert compose(*sources) == 0
    (page,) = (ROOT / "docs/real.md").read_text().split("# configs/mine.py\n")[1:]
    text = page.split("```")[0].replace("data/mine", str(Path("set").resolve()))
    text = text.replace('"cpm_mbv2', f'"{ROOT}/configs/cpm_mbv2').replace(
        "num_classes=15", "num_classes=4"
    )
    Path("mine.py").write_text(text)
    cfg = Config.fromfile("mine.py")
    init_default_scope("mmseg")
    side = cfg.img_scale
    assert DATASETS.build(cfg.train_dataloader.dataset)[0]["inputs"]["img"].shape[1:] == (
        side,
        side,
    )
    own = cfg.train_dataloader.dataset.data_root
    cfg = shrink(cfg, narrow=False)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.update(data_root=own, num_scenes=4)
    train = DATASETS.build(cfg.train_dataloader.dataset)
    check_step_and_prediction(cfg, pseudo_collate([train[i] for i in range(4)]))


def test_files_are_as_the_options_say(sources):
    large = np.tile(picture(77), (4, 4, 1))
    save(Path("photos/dog/large.jpg"), large)
    save(Path("photos/dog/large_mask.png"), cv2.resize(mask(1, 2), None, fx=4, fy=4))
    cutout = np.dstack([picture(78), 255 * mask(1)])
    save(Path("photos/dog/cut.png"), cutout)
    rate = 44100
    long = np.concatenate([0.1 * sound(90, 3.0), sound(91, 2.0), np.zeros(16000, np.float32)])
    save_sound(Path("sounds/dog/long.wav"), np.repeat(long, 3)[::1], rate)
    words = ["--max-side", 100, "--seconds", 1.5, "--sound-format", "ogg", "--min-object", 20]
    assert compose(*sources, *words) == 0
    (row,) = of_stem("large")
    image, numbered = (cv2.imread(f"set/{row[key]}", -1) for key in ("file", "mask"))
    assert image.shape == (75, 100, 3) and numbered.shape == (75, 100)
    assert sorted(np.unique(numbered)) == [0, 1, 2]
    (row,) = of_stem("cut")
    made = cv2.imread(f"set/{row['file']}", -1)
    assert row["mask"] == "" and np.array_equal(made, cutout[30:80, 40:100])
    (row,) = of_stem("long")
    samples, rate = soundfile.read(f"set/{row['file']}")
    assert rate == 16000 and len(samples) == 24000 and row["file"].endswith(".ogg")
    assert np.abs(samples).max() == pytest.approx(0.9, abs=0.1)
    assert all(soundfile.info(f"set/{one['file']}").samplerate == 16000 for one in index()
               if one["kind"] == "sound")  # fmt: skip


def test_the_card_tells_sources_licences_counts_and_command(sources, tmp_path):
    Path("photos/dog/LICENSE").write_text("My own, CC0\n")
    json_, images = make_coco(tmp_path / "coco", [annotation(1, 1, [polygon(*BOX)])], ["dog"])
    assert compose(*sources, "--coco", json_, images) == 0
    card = Path("set/README.md").read_text()
    assert "tools/prepare_data.py compose --photos photos --sounds sounds --coco" in card
    for line in (
        "| photos | My own, CC0 | 6 | 0 |",
        "| photos | not stated | 18 | 0 |",
        "| sounds | not stated | 0 | 24 |",
        "| instances | Attribution License (https://cc/by/2.0/) | 1 | 0 |",
        "25 photographs and 24 recordings of 5 classes",
        "0 pairs of photographs, 0 of recordings",
        "| rain | off-screen sound | 0 / 0 / 0 |",
    ):
        assert line in card, line
    licences = {row["licence"] for row in index() if row["source"] == "instances"}
    assert licences == {"Attribution License (https://cc/by/2.0/)"}


def test_near_duplicates_come_into_one_split(sources):
    """Of every class a mirrored, a re-encoded and another class's; shifted and softer sounds."""
    for number, name in enumerate(CLASSES):
        image = cv2.imread(f"photos/{name}/{name}0.jpg")
        other = CLASSES[(number + 1) % 3]
        for folder, stem, changed in (
            (name, "mirrored", image[:, ::-1]),
            (name, "coded", image),
            (other, f"of{name}", cv2.resize(image, None, fx=2, fy=2)),
        ):
            save(Path("photos", folder, f"{stem}.jpg"), changed, cv2.IMWRITE_JPEG_QUALITY, 60)
            drawn = cv2.resize(mask(1), changed.shape[1::-1], interpolation=cv2.INTER_NEAREST)
            save(Path("photos", folder, f"{stem}.png"), drawn)
        samples = soundfile.read(f"sounds/{name}/{name}0.wav")[0]
        save_sound(Path("sounds", name, "shifted.wav"), 0.3 * samples[4000:])
        save_sound(Path("sounds", other, f"of{name}.ogg"), np.pad(samples, (3000, 0)))
    assert compose(*sources) == 0
    parts = {row["file"]: row["split"] for row in index()}
    for name, other in zip(CLASSES, (*CLASSES[1:], CLASSES[0]), strict=True):
        for kind, copies in (
            (
                "photos",
                [(name, f"{name}0"), (name, "mirrored"), (name, "coded"), (other, f"of{name}")],
            ),
            ("sounds", [(name, f"{name}0"), (name, "shifted"), (other, f"of{name}")]),
        ):
            found = {
                split
                for file, split in parts.items()
                if any(file.startswith(f"{kind}/{kind}/{one}-{stem}-") for one, stem in copies)
            }
            assert len(found) == 1, (name, kind)
    assert "18 pairs of photographs, 9 of recordings" in Path("set/README.md").read_text()
    assert left_out() == []


def test_a_recording_is_one_in_all_sets_that_were_cut_from_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_photos(Path("photos"), ["dog"])
    rows = [(f"1-{n}-{take}-0.wav", "dog", str(n)) for n in range(100, 106) for take in "AB"]
    make_esc50(Path("esc"), rows)
    for n in range(100, 106):
        save_sound(Path("downloads/dog", f"{n}__me__bark.wav"), sound(n + 4000))
    assert compose("--photos", "photos", "--sounds", "esc", "--sounds", "downloads") == 0
    for n in range(100, 106):
        found = [row["split"] for row in index() if str(n) in row["file"]]
        assert len(found) == 3 and len(set(found)) == 1
    assert {row["split"] for row in index() if row["kind"] == "sound"} == set(SPLITS)


def test_own_splits_are_kept_and_what_they_share_is_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for seed, split in enumerate(SPLITS):
        make_photos(Path("photos") / split, CLASSES, 2, seed=seed * 100)
        make_sounds(Path("sounds") / split, CLASSES, 2, seed=500 + seed * 100)
    twin = cv2.imread("photos/train/dog/dog0.jpg")
    save(Path("photos/test/dog/twin.jpg"), twin[:, ::-1])
    save(Path("photos/test/dog/twin.png"), mask(1))
    save_sound(
        Path("sounds/val/dog/twin.wav"), 0.5 * soundfile.read("sounds/train/dog/dog1.wav")[0]
    )
    assert compose("--photos", "photos", "--sounds", "sounds") == 0
    for row in index():
        assert f"/{row['split']}-" in row["file"]
    assert [(row["file"], row["reason"], row["detail"]) for row in left_out()] == [
        ("photos/train/dog/dog0.jpg", "shared", "photos/test/dog/twin.jpg is in test"),
        ("sounds/train/dog/dog1.wav", "shared", "sounds/val/dog/twin.wav is in val"),
    ]
    assert {*times()} == listed()
    assert "a near-duplicate of what another" in " ".join(capsys.readouterr().out.split())
    assert compose("--photos", "photos", "val", "--sounds", "sounds", "val", out="other") == 0
    assert {row["split"] for row in index("other")} == {"val"}


def test_what_cant_be_used_is_told_and_left_out(sources, tmp_path, capsys):
    dog = Path("photos/dog")
    (dog / "broken.jpg").write_bytes((dog / "dog0.jpg").read_bytes()[:500])
    save(dog / "broken.png", mask(1))
    save(dog / "alone.jpg", picture(50))
    save(dog / "opaque.png", np.dstack([picture(51), np.full((120, 160), 255, np.uint8)]))
    save(dog / "other.jpg", picture(52)), save(dog / "other.png", mask(1)[:60])
    save(dog / "tiny.jpg", picture(53)), save(dog / "tiny.png", (mask(1) > 0) * np.uint8(0))
    save(dog / "colours.jpg", picture(54)), save(dog / "colours.png", picture(55))
    (dog / "notes.txt").write_text("mine")
    sounds = Path("sounds/dog")
    (sounds / "broken.wav").write_bytes(b"RIFF no sound")
    save_sound(sounds / "silent.wav", np.zeros(16000))
    save_sound(sounds / "short.wav", sound(60, 0.1))
    json_, images = make_coco(
        tmp_path / "coco",
        [
            annotation(1, 1, [polygon(*BOX)]),
            annotation(2, 1, [polygon(*BOX)]),
            annotation(3, 1, uncompressed(mask(1)), iscrowd=1),
            annotation(4, 1, [polygon(0, 0, 8, 8)]),
            annotation(5, 1, [[1, 2]]),
        ],
        ["dog"],
    )
    (images / "000000000002.jpg").unlink()
    assert compose(*sources, "--coco", json_, images) == 0
    assert {(Path(row["file"]).name, row["reason"]) for row in left_out()} == {
        ("broken.jpg", "unreadable"), ("alone.jpg", "no_mask"), ("opaque.png", "no_mask"),
        ("other.jpg", "wrong_size"), ("tiny.jpg", "small_object"), ("colours.jpg", "bad_mask"),
        ("notes.txt", "unknown_file"), ("broken.wav", "unreadable"), ("silent.wav", "silent"),
        ("short.wav", "short"), ("000000000002.jpg", "missing"), ("000000000003.jpg", "crowd"),
        ("000000000004.jpg", "small_object"), ("000000000005.jpg", "bad_mask"),
    }  # fmt: skip
    assert len(index()) == 49
    printed = " ".join(capsys.readouterr().out.split())
    assert "the file can't be decoded" in printed and "photos/dog/broken.jpg" in printed
    card = Path("set/README.md").read_text()
    assert "- 2: the file can't be decoded" in card and "- 1: the file is missing" in card
    assert prepare_data.main(["check", "composed", "--root", "set"]) == 0


def test_what_a_text_names_is_left_out(sources):
    assert compose(*sources) == 0
    stem = Path(of_stem("dog3")[0]["file"]).stem
    Path("bad.txt").write_text(f"\n{stem[-9:]}\n")  # the end of it, as on the contact sheet
    assert compose(*sources, "--exclude", "bad.txt") == 0
    (row,) = left_out()
    assert row["reason"] == "excluded" and row["file"] == "photos/dog/dog3.jpg"
    assert len(index()) == 47 and not [*Path("set/photos").rglob(f"{stem}*")]


def test_classes_are_renamed_chosen_and_limited(sources):
    words = ["--rename", "cat=Dog", "rain=dog", "--classes", "dog", "bird", "--max-per-class", 4]
    assert compose(*sources, *words) == 0
    number = Counter((row["kind"], row["class"]) for row in index())
    assert number == dict.fromkeys([(k, c) for k in ("photo", "sound") for c in ("dog", "bird")], 4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sounds", "sounds"], "There are no photographs: name some by --coco or --photos"),
        (["--photos", "photos", "tset"], r"--photos photos tset: give FOLDER and"),
        (["--coco", "x.json"], r"--coco x.json: give INSTANCES.json IMAGES"),
        (["--coco", "x.json", "images"], r"x\.json: there is no such file"),
        (["--photos", "nowhere"], "nowhere: there is no such folder"),
        (["--photos", "photos", "--rename", "cat"], "--rename cat: give NAME=CLASS"),
        (["--photos", "photos", "--rename", "crow=bird"], "no source has a class crow"),
        (["--photos", "photos", "--classes", "dgo"], "neither photographs nor recordings of dgo"),
        (["--photos", "photos", "--sounds", "sounds", "--classes", "rain"], "No photograph can be"),
        (["--photos", "photos", "--shares", "0", "0", "0"], "three numbers from 0 up"),
        (["--photos", "photos", "--shares", "nan", "0", "1"], "three numbers from 0 up"),
        (["--photos", "photos", "--max-side", "0"], "--max-side 0: give more than 0"),
        (["--photos", "photos", "--seconds", "nan"], "--seconds nan: give more than 0"),
        (["--photos", "photos", "--exclude", "nowhere.txt"], "nowhere.txt"),
        (["--photos", "photos", "--photos", "photos"], "be called 'photos'"),
    ],
)
def test_mistakes_are_told_in_a_line(sources, words, message, capsys):
    assert compose(*words) == 1
    printed = capsys.readouterr().err.strip().splitlines()[-1]
    assert printed.startswith("error: ") and re.search(message, printed)


def test_what_is_too_little_has_its_numbers():
    plenty = dict(train=20, val=2, test=4)
    counts = {name: ClassCount(dict(plenty), dict(plenty)) for name in "abcdef"}
    assert shortages(counts, SPLITS) == []
    counts["a"] = ClassCount(dict(plenty, train=19), dict(train=9, val=1))
    counts["b"] = ClassCount(dict(train=25, test=1), {})
    assert shortages(counts, SPLITS) == [
        "val: 5 classes with photographs, 5 of them with recordings; scenes of 'ms' need 6 and 3.",
        "a: none of its 10 recordings is in test.",
        "a: 19 photographs (fewer than 20) and 9 recordings (fewer than 10) to train on.",
        "b: none of its 26 photographs is in val.",
    ]
    two = {name: counts[name] for name in "cd"}
    there = "test: 2 classes with photographs, 2 of them with recordings; scenes of"
    assert shortages(two, ("test",)) == [
        f"{there} {subset!r} need {needs}."
        for subset, needs in (("ss", "3 and 1"), ("ms", "6 and 3"), ("msmi", "3 and 1"))
    ]


def test_check_finds_what_is_planted_in_a_set(sources, capsys):
    assert compose(*sources) == 0
    rows = index()
    photos = [row for row in rows if row["kind"] == "photo" and row["class"] == "dog"]
    sounds = [row for row in rows if row["kind"] == "sound" and row["class"] == "dog"]
    Path("set", photos[0]["file"]).write_bytes(b"")
    save(Path("set", photos[1]["mask"]), mask(0))
    Path("set", sounds[0]["file"]).unlink()
    save_sound(Path("set", sounds[1]["file"]), np.zeros(16000))
    train = next(row for row in rows if row["class"] == "cat" and row["split"] == "train")
    test = next(row for row in rows if row["class"] == "bird" and row["split"] == "test")
    mirrored = cv2.imread(str(Path("set", train["file"])))[:, ::-1]
    save(Path("set", test["file"]), mirrored)
    with Path("set/index.csv").open("a", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(rows[3].values())
    capsys.readouterr()
    words = ["check", "composed", "--root", "set"]
    out = ["--json", "report.json", "--fix-index", "fixed.csv"]
    assert prepare_data.main([*words, *out]) == 1
    report = json.loads(Path("report.json").read_text())
    assert report["by_kind"] == dict(bad_photo=2, bad_sound=2, duplicate=1, shared=1)
    lines = {one["line"]: one["kind"] for one in report["defects"]}
    assert lines[rows.index(train) + 2] == "shared" and lines[len(rows) + 2] == "duplicate"
    assert "near-duplicate, is" in " ".join(capsys.readouterr().out.split())
    Path("set/index.csv").write_bytes(Path("fixed.csv").read_bytes())
    assert len(index()) == 48 - 5 and prepare_data.main(words) == 0
    assert prepare_data.main(["check", "composed", "--root", "nowhere"]) == 2
    assert prepare_data.main([*words, "--index", "x.csv"]) == 2


def test_the_built_in_set_is_clean():
    assert prepare_data.main(["check", "composed", "--root", str(ROOT / "data/stamps")]) == 0
