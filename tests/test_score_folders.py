"""What is said of folders that are not what the scorer expects: a sentence, or a counted row."""

import csv
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmark_trees import make_avss, make_ms3, make_s4, make_vpo
from PIL import Image
from scored_folders import kinds, save, scored, scores

ROOT = Path(__file__).resolve().parents[1]
OBJECT = np.array([[1, 1, 0], [0, 0, 0]], np.uint8)


@pytest.fixture
def tree(tmp_path):
    """Five frames of two clips, all found."""
    for name in ("a/1", "a/2", "a/3", "b/1", "b/2"):
        save(tmp_path / f"truth/{name}.png", OBJECT * 255)
        save(tmp_path / f"masks/{name}.png", OBJECT)
    return tmp_path


@pytest.fixture
def score(tmp_path, capsys, monkeypatch):
    """The tool's exit status and all that it prints."""
    from runpy import run_path

    monkeypatch.chdir(tmp_path)

    def run(*words) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["tools/score.py", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            run_path(str(ROOT / "tools/score.py"), run_name="__main__")
        printed = capsys.readouterr()
        code = ended.value.code
        text = " ".join(f"{printed.out} {printed.err} {code}".split())
        return (code if isinstance(code, int) else 1), text

    return run


# ---- masks that are told, counted and scored as wrong


def broken_text(path):
    path.write_text("not a picture")


def truncated(path):
    path.write_bytes(path.read_bytes()[:-30])


def dangling(path):
    path.unlink()
    path.symlink_to(path.with_name("gone.png"))


BROKEN = {
    "missing": (lambda path: path.unlink(), "missing", "a/2.png: there is no such file"),
    "empty file": (lambda path: path.write_bytes(b""), "unreadable", "can't be decoded"),
    "text": (broken_text, "unreadable", "can't be decoded"),
    "cut off": (truncated, "unreadable", "can't be decoded"),
    "link to nothing": (dangling, "unreadable", "a link to a file that is not there"),
    "a folder": (
        lambda path: (path.unlink(), path.mkdir(), save(path / "x.txt", OBJECT)),
        "missing",
        "a/2.png",
    ),
    "wrong size": (
        lambda path: save(path, np.ones((4, 6), np.uint8)),
        "size",
        "it is 6x4 px, the truth 3x2",
    ),
    "turned": (lambda path: save(path, OBJECT.T), "size", "it is 2x3 px, the truth 3x2"),
    "a photograph": (
        lambda path: save(path, np.arange(120, dtype=np.uint8).reshape(2, 60)),
        "values",
        "120 values: a grey map (--encoding grey)",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_useless_mask_is_a_counted_row(tree, score, kind):
    spoil, expected, reason = BROKEN[kind]
    spoil(tree / "masks/a/2.png")
    assert kinds(scored(tree / "masks", tree / "truth")) == [expected]
    assert scores(tree / "masks", tree / "truth")["avsbench/J"] == pytest.approx(80, abs=1e-4)
    code, text = score("masks", "truth", "--out", "out")
    assert code == 1 and "1 of 5 frames have no usable mask" in text
    (row,) = csv.DictReader((tree / "out/problems.csv").open())
    assert row["kind"] == expected and reason in f"{row['path']}: {row['reason']}"
    report = json.loads((tree / "out/scores.json").read_text())
    assert report["frames"] == 5 and report["frames_without_mask"][expected] == 1


SEMANTIC = {
    "class out of range": (np.array([[9, 1, 0]] * 2, np.uint8), "value 9, which is not one of"),
    "0 and 255": (OBJECT * 255, "255, which is no class (0 and 255 alone"),
    "16 bits": (OBJECT.astype(np.uint16) * 300, "it holds 300, which is no class"),
    "a colour of no class": (
        np.full((2, 3, 3), 7, np.uint8),
        "colour [7, 7, 7], which is not a colour of the palette",
    ),
}


@pytest.mark.parametrize("kind", SEMANTIC)
def test_values_that_are_no_classes_are_a_counted_row(tree, kind):
    values, reason = SEMANTIC[kind]
    for path in (tree / "truth").rglob("*.png"):
        save(path, OBJECT * 3)
    save(tree / "masks/a/2.png", values)
    (problem,) = scored(tree / "masks", tree / "truth", classes="5").problems
    assert problem.kind == "values" and reason in problem.reason


def test_half_a_clip_and_a_whole_one_that_are_missing(tree, score):
    for name in ("a/3", "b/1", "b/2"):
        (tree / f"masks/{name}.png").unlink()
    code, text = score("masks", "truth")
    assert code == 1 and "3 of 5 frames have no usable mask" in text
    assert scores(tree / "masks", tree / "truth")["avsbench/J"] == pytest.approx(40, abs=1e-4)


# ---- what lies about beside the masks


def test_other_files_are_counted_and_change_nothing(tree, score):
    before = scores(tree / "masks", tree / "truth")
    for name in ("._1.png", ".DS_Store", "__MACOSX/a/1.png", ".hidden/a/1.png"):
        path = tree / "masks" / "a" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0\5\26\7")
    save(tree / "masks/c/1.png", OBJECT)
    (tree / "masks/log.txt").write_text("epoch 1")
    result = scored(tree / "masks", tree / "truth")
    assert [str(path) for path in result.extra] == ["c/1.png"]
    assert len(result.listing.hidden) == 4 and len(result.listing.others) == 1
    assert scores(tree / "masks", tree / "truth") == before
    code, text = score("masks", "truth")
    assert code == 0 and "extra: PNG files that belong to no frame" in text
    assert "hidden files, not looked at" in text


def test_links_are_followed_and_a_circle_ends(tree):
    (tree / "far").mkdir()
    (tree / "masks/b").rename(tree / "far/b")
    (tree / "masks/b").symlink_to(tree / "far/b")
    (tree / "masks/a/up").symlink_to(tree / "masks")
    (tree / "masks/a/2.png").rename(tree / "far/2.png")
    (tree / "masks/a/2.png").symlink_to(tree / "far/2.png")
    assert not kinds(scored(tree / "masks", tree / "truth"))
    (tree / "linked").symlink_to(tree / "masks")
    assert not kinds(scored(tree / "linked", tree / "truth"))


def test_0_and_1_beside_0_and_255(tree):
    save(tree / "masks/a/2.png", OBJECT * 255)
    save(tree / "truth/a/1.png", OBJECT)
    assert scores(tree / "masks", tree / "truth")["avsbench/J"] == pytest.approx(100, abs=1e-4)


def test_a_wrong_size_can_be_allowed(tree):
    for path in (tree / "masks").rglob("*.png"):
        save(path, np.kron(OBJECT, np.ones((2, 2), np.uint8)))
    assert scores(tree / "masks", tree / "truth", size="truth")["avsbench/J"] > 99.99
    assert scores(tree / "masks", tree / "truth", size=(30, 20))["avsbench/J"] > 99.99


# ---- what ends in a sentence


def test_masks_that_can_not_be_found(tree, score):
    (tree / "empty").mkdir()
    (tree / "masks.zip").write_text("")
    save(tree / "named/x/foo.png", OBJECT)
    for path in sorted((tree / "masks").rglob("*.png")):
        for suffix in (".jpg", ".npy"):
            other = tree / suffix[1:] / path.relative_to(tree / "masks").with_suffix(suffix)
            other.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(OBJECT * 255).save(other, format="JPEG")
        save(tree / "twice/run1" / path.relative_to(tree / "masks"), OBJECT)
        save(tree / "twice/run2" / path.relative_to(tree / "masks"), OBJECT)
        broken_text(save(tree / "all_bad" / path.relative_to(tree / "masks"), OBJECT))
    for folder, message in (
        ("nowhere", "there is no such folder (looked for in"),
        ("masks.zip", "it is a file; unpack it"),
        ("empty", "it is empty; PNG masks are wanted"),
        ("jpg", "5 of .jpg) (JPEG changes values"),
        ("npy", "no PNG mask among its files (5 of .npy)"),
        ("named", "may be a/1.png, in any folder; the first file is x/foo.png"),
        ("twice", "run1/a/1.png and run2/a/1.png have the name of one frame"),
        ("all_bad", "none of the 5 frames has a usable mask"),
    ):
        code, text = score(folder, "truth")
        assert code == 1 and f"error: {folder}: " in text and message in text, text


def test_reports_beside_the_masks_name_their_values(tmp_path, score):
    """As of the built-in model's masks and a clip of the built-in data, which number otherwise."""
    lists = dict(mine=["background", "dog", "cat"], theirs=["background", "cat", "dog"])
    for folder, names in lists.items():
        save(tmp_path / folder / "masks" / "1.png", OBJECT)
        (tmp_path / folder / "report.json").write_text(json.dumps(dict(classes=names)))
    status, said = score("mine/masks", "theirs/masks")
    assert status == 1 and "dog as class 1, and the truth has cat. Score" in said
    assert score("mine/masks", "theirs/masks", "--classes", "binary")[0] == 0
    (tmp_path / "mine" / "report.json").write_text(json.dumps(dict(classes=["background", "cat"])))
    assert "has 2 classes, and the truth 3" in score("mine/masks", "theirs/masks")[1]
    (tmp_path / "mine" / "report.json").write_text("[]")
    status, said = score("mine/masks", "theirs/masks", "--per-class")
    assert status == 0 and "cat" in said and "dog" in said


def test_truths_that_can_not_be_used(tree, score):
    (tree / "empty").mkdir()
    save(tree / "many/a/1.png", OBJECT * 7)
    save(tree / "mixed/a/1.png", np.array([[0, 1, 255]] * 2, np.uint8))
    save(tree / "mixed/a/2.png", OBJECT * 255)
    broken_text(save(tree / "bad/a/1.png", OBJECT))
    save(tree / "color/a/1.png", np.full((2, 3, 3), [0, 0, 128], np.uint8))
    for words, message in (
        ("nowhere", "there is none"),
        ("empty", "it is empty"),
        ("many", "hold 7: say by --classes"),
        ("mixed", "whether 255 is the object (binary) or not to be scored (2)"),
        ("bad", "bad/a/1.png: in the truth, it can't be decoded"),
        ("bad --classes 2", "bad/a/1.png: in the truth, it can't be decoded"),
        ("many --classes 3", "in the truth, the mask holds the value 7"),
        ("color", "a colour picture: say by --classes"),
        ("truth --split val", "no"),
        ("truth --classes foo", "no file of names"),
        ("truth --classes 1", "2 to 255"),
        ("truth --layout s4", "there is no index file"),
        ("truth --classes 3 --legacy-batch 1", "--classes binary merges them"),
        ("truth --compare masks masks", "--compare A B TRUTH"),
    ):
        code, text = score("masks", *words.split())
        assert code and "error: " in text and message in text, (words, text)
    code, text = score("truth")
    assert code == 2 and "give MASKS TRUTH" in text


def test_the_folder_above_or_below_the_index_is_told(tmp_path, score):
    s4 = make_s4(tmp_path / "object/Single-source")
    masks = s4 / "s4_data/gt_masks/test"
    for place in (s4 / "s4_data", tmp_path / "object"):
        code, text = score(masks, place)
        assert code == 1 and f"the index of s4 is in {s4}; name that folder" in text
    code, text = score(masks, s4 / "s4_data/gt_masks/test")  # masks alone are fine
    assert code == 0
    code, text = score(masks, make_vpo(tmp_path / "vpo"))
    assert "holds vpo-ss, vpo-ms, vpo-msmi: choose one by --layout" in text


def test_a_benchmark_that_is_not_whole(tmp_path, score):
    ms3 = make_ms3(tmp_path / "ms3")
    masks = tmp_path / "masks"
    for path in (ms3 / "ms3_data/gt_masks/test/e0").glob("*.png"):
        save(masks / "e0" / path.name, np.asarray(Image.open(path)))
    code, text = score(masks, ms3)
    assert code == 0 and "total has 1 clips, the published one 64" in text
    code, text = score(masks, ms3, "--split", "foo")
    assert "no labelled frame of split 'foo' among its 3 clips, which are of test, train" in text
    (ms3 / "ms3_data/gt_masks/test/e0/e0_3.png").unlink()
    code, text = score(masks, ms3)
    assert code == 1 and "1 of the 5 masks of the truth are missing" in text
    assert "--fix-index" in text
    index = ms3 / "ms3_meta_data.csv"
    index.write_text(index.read_text().replace("e0", "../e0"))
    code, text = score(masks, ms3)
    assert code == 1 and "leads out of the data set's folder" in text


def test_train_frames_without_a_label_are_no_frames(tmp_path):
    avss = make_avss(tmp_path)
    result = scored(avss / "v1s", avss, split="train")
    assert result.frames == 1 + 5  # of v1s the first alone
    assert set(kinds(result)) == {"missing"} and len(result.problems) == 5


def test_grey_maps_that_do_not_fit_are_told(tree, score):
    for path in (tree / "masks").rglob("*.png"):
        save(tree / "grey" / path.relative_to(tree / "masks"), OBJECT * 200)
    code, _ = score("masks", "truth", "--probability", "grey")
    assert code == 0
    save(tree / "grey/a/2.png", np.ones((4, 6), np.uint8))
    code, text = score("masks", "truth", "--probability", "grey")
    assert code == 1 and "grey/a/2.png: it is 6x4 px, its mask masks/a/2.png 3x2" in text
    (tree / "grey/a/2.png").unlink()
    code, text = score("masks", "truth", "--probability", "grey")
    assert code == 1 and "1 masks have no grey map in it, the first is masks/a/2.png" in text


def test_probabilities_beside_masks_alone_are_told(tree, score):
    for path in (tree / "masks").rglob("*.png"):
        name = path.relative_to(tree / "masks")
        save(tree / "alone" / name, OBJECT)
        save(tree / "grey" / name, OBJECT * 200)
    (tree / "grey").rename(tree / "masks/probability")
    code, text = score("--compare", "masks", "alone", "truth", "--draws", "100")
    assert code == 0 and "F of masks is of the grey maps in masks/probability" in text
    assert "the other's is of masks alone" in text


# ---- what is written


def test_every_file_of_a_report(tree, score):
    code, text = score("masks", "truth", "--protocol", "all", "--out", "out", "--per-class",
                       "--per-clip", "--foreground-size", "12x8")  # fmt: skip
    assert code == 0 and "foreground, 12x8, in percent" in text and "Per clip, in percent" in text
    report = json.loads((tree / "out/scores.json").read_text())
    assert [row["protocol"] for row in report["results"]] == ["dataset", "avsbench", "foreground"]
    assert report["results"][0]["per_class"]["sounding"]["IoU"] == 100
    assert [clip["clip"] for clip in report["clips"]] == ["a", "b"]
    table = list(csv.DictReader((tree / "out/scores.csv").open()))
    assert {(row["protocol"], row["score"]): float(row["percent"]) for row in table} == {
        (row["protocol"], name): value
        for row in report["results"]
        for name, value in row["scores"].items()
    }
    classes = list(csv.DictReader((tree / "out/classes.csv").open()))
    assert {row["class"] for row in classes} == {"background", "sounding"}
    clips = list(csv.DictReader((tree / "out/clips.csv").open()))
    assert float(clips[1]["foreground/J"]) == pytest.approx(100) and clips[1]["frames"] == "2"


def test_an_output_that_can_not_be_written_is_told_before_the_work(tree, score):
    (tree / "out/scores.csv").mkdir(parents=True)
    code, text = score("masks", "truth", "--out", "out")
    assert code == 1 and "scores.csv' is a folder" in text and "in percent" not in text
    code, text = score("masks", "truth", "--out", "masks/a/1.png/x")
    assert code == 2 and "is a file" in text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_no_mask(tree):
    (tree / "masks/a/2.png").unlink()
    os.mkfifo(tree / "masks/a/2.png")
    assert kinds(scored(tree / "masks", tree / "truth")) == ["unreadable"]
