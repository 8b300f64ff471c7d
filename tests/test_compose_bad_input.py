"""What users and strangers put into sources of ``compose``: a sentence each, and nothing silent."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compose_sources import (
    BOX,
    annotation,
    make_coco,
    make_esc50,
    make_fsd50k,
    make_photos,
    make_sounds,
    mask,
    picture,
    polygon,
    save,
    save_sound,
    sound,
)
from composed_sets import compose, index, left_out
from PIL import Image

from projects.cpm_avs.datasets.composed.index import read_index
from projects.cpm_avs.datasets.composing import pictures
from projects.cpm_avs.datasets.composing.candidate import Candidate, ClassNames, LeftOut, Unusable
from projects.cpm_avs.datasets.composing.class_folders import read_photo_folder, read_sound_folder
from projects.cpm_avs.datasets.composing.coco_photos import read_coco
from projects.cpm_avs.datasets.composing.collecting import Source, collect
from projects.cpm_avs.datasets.composing.freesound_sets import read_esc50, read_fsd50k
from projects.cpm_avs.datasets.composing.writing import file_name
from projects.cpm_avs.errors import BadSampleError, UserError

ALL = ClassNames()
LEADING_OUT = ["../../photos/secret.jpg", "/etc/passwd", "", "a\0b.jpg", "..\\v.jpg", "x" * 201]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def coco(change: Callable[[dict[str, Any]], object]) -> tuple[list[Candidate], list[LeftOut]]:
    """What is found in two photographs of a dog and a list that is changed."""
    Path("coco").mkdir()
    two = [annotation(number, 1, [polygon(*BOX)]) for number in (1, 2)]
    path, images = make_coco(Path("coco"), two, ["dog"])
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return read_coco(path, images, "", ALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda all_: all_.update(annotations=None), "annotations are no list"),
        (lambda all_: all_.update(annotations={}), "annotations are no list"),
        (lambda all_: all_.update(licenses={"id": 1}), "licenses are no list"),
        (lambda all_: all_.update(licenses=[5]), "entry 0 of its licenses has no id"),
        (lambda all_: all_["images"][1].update(file_name=5), "entry 1 of its images has no file_n"),
        (lambda all_: all_["images"][0].pop("file_name"), "entry 0 of its images has no file_name"),
        (lambda all_: all_["images"][0].update(id=2), "two of its images have the id 2"),
        (lambda all_: all_["categories"][0].update(name=5), "entry 0 of its categories has no nam"),
        (lambda all_: all_["categories"].append(dict(id=1, name="cat")), "categories have the id"),
        (
            lambda all_: all_["annotations"][1].update(image_id="1"),
            "entry 1 .* the image_id '1', w",
        ),
        (
            lambda all_: all_["annotations"][1].update(image_id=[1]),
            r"the image_id \[1\], which its",
        ),
        (lambda all_: all_["annotations"][1].update(category_id=9), "the category_id 9, which its"),
        (lambda all_: all_["annotations"][1].pop("image_id"), "entry 1 .* has no image_id"),
        (lambda all_: all_["annotations"].insert(0, "x"), "entry 0 of its annotations has no imag"),
    ],
)
def test_an_odd_entry_of_coco_is_named(change: Callable, message: str) -> None:
    with pytest.raises(BadSampleError, match=rf"instances\.json: it is no COCO .*: .*{message}"):
        coco(change)


@pytest.mark.parametrize("name", LEADING_OUT)
def test_a_name_that_leads_out_of_the_source_is_left_out(name: str) -> None:
    found, (left,) = coco(lambda all_: all_["images"][0].update(file_name=name))
    assert [one.path.name for one in found] == ["000000000002.jpg"]
    assert left.reason == "outside" and ("name" in left.detail)
    if name and "\0" not in name:  # csv has no such cells
        esc = make_esc50(Path("esc"), [("1-1-A-0.wav", "dog", "1")])
        with (esc / "meta/esc50.csv").open("a") as file:
            file.write(f"{name},1,0,dog,True,2,A\n")
        found, (left,) = read_esc50(esc, "", ALL)
        assert len(found) == 1 and left.reason == "outside"
        fsd = make_fsd50k(Path("fsd"), [("1", "Dog", "train")], [])
        with (fsd / "FSD50K.ground_truth/dev.csv").open("a") as file:
            file.write(f"{name},Dog,/m/x,train\n")
        found, (left,) = read_fsd50k(fsd, "", ClassNames(wanted=["dog"]))
        assert len(found) == 1 and left.reason == "outside"


@pytest.mark.parametrize("column", ["file", "mask"])
def test_an_index_names_files_below_its_folder(column: str) -> None:
    """Compose removes what it lists no more: of a downloaded index that could be anything."""
    make_photos(Path("photos"), ["cat"], 1)
    assert compose("--photos", "photos") == 0
    Path("mine.png").write_text("mine")
    row = index()[0] | {column: "../mine.png"}
    with Path("set/index.csv").open("a") as file:
        file.write(",".join(row.values()) + "\n")
    with pytest.raises(BadSampleError, match=r"line 3: the name '\.\./mine\.png' leads out"):
        read_index(Path("set"), "")
    assert compose("--photos", "photos") == 1 and Path("mine.png").is_file()


def test_an_index_that_excel_saved_is_read() -> None:
    text = "kind,class,split,file,mask\nphoto,cat,,a.png,\n"
    Path("index.csv").write_text(text, encoding="utf-8-sig")
    assert [one.class_name for one in read_index(Path(), "")] == ["cat"]


def test_a_photograph_under_two_ids_has_the_objects_of_both() -> None:
    (one,), _ = coco(lambda all_: all_["images"][1].update(file_name="000000000001.jpg"))
    assert one.instances is not None and len(np.unique(one.instances(120, 160))) == 2
    again = [[polygon(*BOX)], [polygon(0, 0, 9, 9)]]
    Path("other").mkdir()
    path, images = make_coco(
        Path("other"), [annotation(n, 1, seg) for n, seg in enumerate(again, start=1)], ["dog"]
    )
    path.write_text(path.read_text().replace("000000000002.jpg", "000000000001.jpg"))
    (one,), _ = read_coco(path, images, "", ALL)
    assert one.instances is not None
    assert [*np.bincount(one.instances(120, 160).ravel())[1:]] == [3000, 81]


def test_polygons_of_another_size_are_not_drawn() -> None:
    found, _ = coco(lambda all_: all_["images"][0].update(width=320, height=240))
    assert found[0].instances is not None and found[1].instances is not None
    with pytest.raises(Unusable, match="320 x 240 px by the JSON, .* has 160 x 120") as error:
        found[0].instances(120, 160)
    assert error.value.reason == "wrong_size"
    with pytest.raises(Unusable, match="turned as it is meant, has 120 x 160"):
        found[1].instances(160, 120)  # by its EXIF tag
    assert found[1].instances(120, 160).any()


def test_classes_without_a_name_stop_those_who_want_them() -> None:
    names = ClassNames(wanted=["dog"])
    assert [names("???"), names("x" * 300), names("Dog")] == [None, None, "dog"]
    with pytest.raises(UserError, match="by more than 100 bytes"):
        ALL("é" * 51)


def test_all_files_of_a_class_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    dog = Path("sounds/dog")
    save_sound(dog / "a.wav", sound(1))
    save_sound(dog / ".git/hidden.wav", sound(1))
    save_sound(Path("elsewhere/b.wav"), sound(2))
    shutil.copy(dog / "a.wav", dog / "no_suffix")
    (dog / "notes.txt").write_text("mine")
    (dog / "linked").symlink_to(Path("elsewhere").absolute())
    (dog / "circle").symlink_to(dog.absolute())
    (dog / "gone.wav").symlink_to("nowhere")
    os.mkfifo(dog / "pipe.wav")
    Path("sounds/empty").mkdir()
    found, others = read_sound_folder(Path("sounds"), "", ALL)
    assert [one.name for one in found] == [
        "dog/a.wav", "dog/gone.wav", "dog/linked/b.wav", "dog/no_suffix",
    ]  # fmt: skip
    assert {(one.path.name, one.reason) for one in others} == {
        ("notes.txt", "unknown_file"), ("pipe.wav", "unknown_file"), ("empty", "nothing"),
    }  # fmt: skip
    scan = os.scandir

    def forbidding(path: Any) -> Any:
        if Path(path).name == "linked":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", forbidding)
    with pytest.raises(PermissionError, match="linked"):
        read_sound_folder(Path("sounds"), "", ALL)


def test_a_picture_is_known_by_its_content() -> None:
    save(Path("set/dog/a.png"), np.dstack([picture(1), mask(1)])).rename("set/dog/a.cut")
    (one,), others = read_photo_folder(Path("set"), "", ALL)
    assert one.path.name == "a.cut" and not others


def test_folders_of_splits_under_other_names_are_no_classes() -> None:
    for name in ("train", "valid", "test"):
        make_photos(Path("set") / name, ["dog"], 1)
    with pytest.raises(BadSampleError, match="test, train, valid. Call those of splits train, val"):
        read_photo_folder(Path("set"), "", ALL)


@pytest.mark.parametrize(
    ("image", "detail"),
    [
        (Image.new("I;16", (9, 9)), "grey of mode I;16; save it with 8 bits a channel"),
        (Image.new("RGB", (50, 50)), "has 50 x 50 pixels, which is too large"),
    ],
)
def test_pictures_of_odd_depths_and_sizes_are_refused(
    image: Image.Image, detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MOST_PIXELS", 2000)
    image.save("a.png")
    with pytest.raises(Unusable, match=detail):
        pictures.read_picture(Path("a.png"))


def test_names_of_other_bytes_and_long_ones_are_written() -> None:
    make_photos(Path("photos"), ["cat"], 1)
    for number, name in enumerate((b"\xff", b"\xfe", b"/".join([b"d" * 100] * 3) + b"/a")):
        target = Path(os.fsdecode(b"photos/cat/" + name + b".jpg"))
        save(Path("made.jpg"), picture(50 + number)), save(Path("made.png"), mask(1))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move("made.jpg", target), shutil.move("made.png", target.with_suffix(".png"))
    os.rename("photos/cat", b"photos/c\xe4t")
    Path(os.fsdecode(b"photos/c\xe4t/\xfd.txt")).write_text("mine")
    assert compose("--photos", "photos") == 0
    assert len({row["file"] for row in index()}) == 4 and {row["class"] for row in index()} == {
        "c_t"
    }
    (row,) = left_out()
    assert row["file"].endswith(r"\udcfd.txt")
    name = file_name(Candidate("photo", "cat", Path(), "s", "d/" * 300 + "the_end.jpg", ""))
    assert len(name) < 130 and "-the_end-" in name


def test_a_set_has_each_file_once_and_no_class_called_background() -> None:
    esc = make_esc50(Path("esc"), [("1-1-A-0.wav", "dog", "1"), ("1-1-A-0.wav", "dog", "1")])
    found, _ = collect([Source("sounds", esc)], ALL)
    assert [one.name for one in found] == ["1-1-A-0.wav"]
    make_photos(Path("photos"), ["background"], 1), make_sounds(Path("sounds"), ["background"], 1)
    sources = [Source("photos", Path("photos")), Source("sounds", Path("sounds"))]
    with pytest.raises(UserError, match="--rename background=CLASS"):
        collect(sources, ALL)
    assert len(collect(sources[:1], ALL)[0]) == 1  # a silent object may have the name


def test_what_would_pass_silently_is_told(capsys: pytest.CaptureFixture) -> None:
    make_photos(Path("photos"), ["cat"], 1), make_sounds(Path("sounds"), ["crow"], 1)
    Path("set").mkdir(), Path("set/.DS_Store").write_text("a Mac's")
    Path("bad.txt").write_text("cat7-abcdef\n")
    words = ("--photos", "photos", "--sounds", "sounds", "--classes", "cat")
    assert compose(*words, "--exclude", "bad.txt") == 0
    assert "warning: --exclude: no name ends in cat7-abcdef" in capsys.readouterr().err
    assert [(row["file"], row["reason"]) for row in left_out()] == [("sounds", "nothing")]


@pytest.mark.parametrize(
    ("words", "out", "message"),
    [
        ([], "photos/cat/set", "lies in the source photos"),
        ([], "photos.txt", "is a file; name a folder in its place"),
        ([], "photos.txt/set", "is a file; name a folder in its place"),
        (["--seconds", "inf"], "set", "--seconds inf: give a number from 0.2 up"),
        (["--seconds", "1e-9"], "set", "--seconds 1e-09: give a number from 0.2 up"),
        (["--rename", "cat=dog=x"], "set", "--rename cat=dog=x: give NAME=CLASS"),
        (["--rename", "cat=a", "cat=b"], "set", "cat is renamed a and b; give one"),
    ],
)
def test_mistakes_are_told_before_the_work(
    words: list[str], out: str, message: str, capsys: pytest.CaptureFixture
) -> None:
    make_photos(Path("photos"), ["cat"], 1)
    Path("photos.txt").write_text("mine")
    assert compose("--photos", "photos", *words, out=out) == 1
    assert message in capsys.readouterr().err
