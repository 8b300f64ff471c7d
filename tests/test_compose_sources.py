"""What sources have for a set: names, recordings of ESC-50 and FSD50K, limits; and what is none."""

import json
from collections import Counter

import pytest
from compose_sources import (
    make_esc50,
    make_fsd50k,
    make_photos,
    save_csv,
    save_sound,
    sound,
)

from projects.cpm_avs.datasets.composing.candidate import NOT_STATED, ClassNames, tidy
from projects.cpm_avs.datasets.composing.class_folders import (
    read_photo_folder,
    read_sound_folder,
    stated_licence,
)
from projects.cpm_avs.datasets.composing.collecting import Source, collect, keep_at_most
from projects.cpm_avs.datasets.composing.freesound_sets import read_esc50, read_fsd50k
from projects.cpm_avs.errors import BadSampleError, UserError

ALL = ClassNames()


def test_names_are_written_one_way():
    assert [tidy(one) for one in ("Cell phone", "cell_phone", " Keyboard_(musical)", "Kühe")] == [
        "cell_phone", "cell_phone", "keyboard_musical", "kühe",
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"'\?\?': give it a name with letters"):
        tidy("??")


def test_names_are_changed_and_chosen():
    names = ClassNames({"Dog_bark": "dog", "crow": "bird"}, wanted=["dog", "Bird"])
    heard = [names(one) for one in ("dog bark", "Dog", "Crow", "rain")]
    assert heard == ["dog", "dog", "bird", None] and "rain" in names.seen
    assert names.only(["bird"])("dog") is None and ALL("rain") == "rain"


def test_esc50_tells_of_recordings_and_licences(tmp_path):
    rows = [
        ("1-100032-A-0.wav", "dog", "100032"),
        ("1-100032-B-0.wav", "dog", "100032"),
        ("2-7-A-14.wav", "chirping_birds", "7"),
        ("3-8-A-10.wav", "rain", "8"),
    ]
    root = make_esc50(tmp_path, rows)
    names = ClassNames({"chirping_birds": "bird"}, wanted=["dog", "bird"])
    found, left_out = read_esc50(root, "", names)
    assert [(one.path.name, one.class_name, one.origin) for one in found] == [
        (rows[0][0], "dog", "freesound/100032"),
        (rows[1][0], "dog", "freesound/100032"),
        (rows[2][0], "bird", "freesound/7"),
    ]
    assert left_out == [] and all(one.path.is_file() for one in found)
    assert [one.licence for one in found][1:] == ["ESC-10: CC BY 3.0", "ESC-50: CC BY-NC 3.0"]
    (root / "LICENSE").write_text(
        "# ESC-50\n\n101 - Dog:\n- [1-100032-A.ogg]: clip derived from rose [loud].wav (http://x) "
        "by nfrae [CC0]\n- [2-7-A.ogg]: clip derived from y.wav by z [CC-Sampling+]\n"
    )
    found, _ = read_esc50(root, "", names)
    assert [one.licence for one in found] == [
        "ESC-10: CC BY 3.0; clip: CC0",
        "ESC-10: CC BY 3.0",
        "ESC-50: CC BY-NC 3.0; clip: CC-Sampling+",
    ]


def test_fsd50k_gives_clips_of_one_wanted_class(tmp_path):
    root = make_fsd50k(
        tmp_path,
        dev=[
            ("11", "Bark,Dog,Domestic_animals_and_pets,Animal", "train"),
            ("12", "Bark,Meow,Dog,Cat,Animal", "train"),
            ("13", "Meow,Cat,Animal", "val"),
            ("14", "Rain,Water", "train"),
        ],
        evaluation=[("21", "Growling,Dog,Animal"), ("22", "Thunder")],
    )
    info = root / "FSD50K.metadata" / "dev_clips_info_FSD50K.json"
    info.parent.mkdir()
    info.write_text(json.dumps({"11": dict(license="http://cc/zero/", uploader="x"), "13": {}}))
    names = ClassNames({"Thunder": "storm"}, wanted=["dog", "cat"])
    found, left_out = read_fsd50k(root, "", names)
    assert [(one.name, one.class_name, one.split, one.origin) for one in found] == [
        ("11", "dog", "train", "freesound/11"),
        ("13", "cat", "val", "freesound/13"),
        ("21", "dog", "test", "freesound/21"),
    ]
    assert [one.licence for one in found] == ["http://cc/zero/", "not stated", "not stated"]
    assert all(one.path.is_file() for one in found)
    (mixed,) = left_out
    assert (mixed.reason, mixed.detail, mixed.path.stem) == ("several_classes", "cat dog", "12")
    assert {one.split for one in read_fsd50k(root, "train", names)[0]} == {"train"}
    with pytest.raises(ValueError, match="name the classes"):
        read_fsd50k(root, "", ALL)

    # Without --classes: those that have photographs, and those that are named by --rename.
    make_photos(tmp_path / "pictures", ["cat"], 1)
    sources = [Source("sounds", root), Source("photos", tmp_path / "pictures")]
    found, _ = collect(sources, ClassNames({"Thunder": "storm"}))
    heard = {(one.name, one.class_name) for one in found if one.kind == "sound"}
    assert heard == {("12", "cat"), ("13", "cat"), ("22", "storm")}


def test_damaged_lists_are_named(tmp_path):
    root = make_esc50(tmp_path / "esc", [("1-1-A-0.wav", "dog", "1")])
    index = root / "meta/esc50.csv"
    for content, message in (
        ("filename,category\na,b\n", "lacks the columns src_file"),
        ("filename,category,src_file\na.wav,dog\n", "line 2 is incomplete"),
        (b"filename\xff", "can't be read"),
    ):
        index.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(BadSampleError, match=rf"esc50\.csv: .*{message}"):
            read_esc50(root, "", ALL)
    root = make_fsd50k(tmp_path / "fsd", [("1", "Dog", "train")], [])
    info = root / "FSD50K.metadata/dev_clips_info_FSD50K.json"
    info.parent.mkdir()
    for content in ("{", "[1]", '{"1": 5}'):
        info.write_text(content)
        with pytest.raises(BadSampleError, match=r"dev_clips_info_FSD50K\.json: it can't be read"):
            read_fsd50k(root, "", ClassNames(wanted=["dog"]))
    for path in (root / "FSD50K.ground_truth").iterdir():
        path.unlink()
    with pytest.raises(BadSampleError, match=r"neither dev\.csv nor eval\.csv"):
        read_fsd50k(root, "", ClassNames(wanted=["dog"]))


def test_names_of_freesounds_files_tell_the_recording(tmp_path):
    stems = ["5034__sagetyrtle__dog", "5034__sagetyrtle__dog2", "2-5034-A-0", "5034-3-1-0", "bark"]
    for seed, stem in enumerate(stems):
        save_sound(tmp_path / "set/dog/deeper" / f"{stem}.wav", sound(seed))
    save_csv(tmp_path / "set/dog/notes.csv", ["x"])
    (tmp_path / "set/dog/._bark.wav").write_text("a Mac's")
    (tmp_path / "set/LICENSE.txt").write_text("\n# All is CC0\nreally\n")
    found, left_out = read_sound_folder(tmp_path / "set", "", ALL)
    assert len(found) == 5 and {one.source for one in found} == {"set"}
    origins = Counter(one.origin for one in found)
    assert origins == {"freesound/5034": 4, "set/dog/deeper/bark.wav": 1}
    assert {one.licence for one in found} == {"All is CC0"}
    assert [(one.path.name, one.reason) for one in left_out] == [("notes.csv", "unknown_file")]


def test_a_folder_of_licences_is_no_licence(tmp_path):
    (tmp_path / "LICENCES").mkdir()  # as REUSE has them; before the file in the order
    assert stated_licence(tmp_path) == NOT_STATED
    (tmp_path / "LICENSE").write_text("CC0\n")
    assert stated_licence(tmp_path) == "CC0"


def test_sources_are_told_apart(tmp_path):
    one, other = (make_photos(tmp_path / name / "set", ["dog"], 1) for name in "ab")
    with pytest.raises(UserError, match="would both be called 'set' in the set"):
        collect([Source("photos", one), Source("photos", other)], ALL)
    # Their files would be of one name, too.
    one, other = (make_photos(tmp_path / name, ["dog"], 1) for name in ("my photos", "my.photos"))
    with pytest.raises(UserError, match="would both be called 'my-photos' in the set"):
        collect([Source("photos", one), Source("photos", other)], ALL)


def test_classes_that_no_source_has_are_refused(tmp_path):
    sources = [Source("photos", make_photos(tmp_path / "set", ["dog", "cat"], 1))]
    with pytest.raises(UserError, match=r"--rename: no source has a class crow\. There are: cat, "):
        collect(sources, ClassNames({"crow": "bird"}))
    with pytest.raises(UserError, match="--classes: there are neither photographs nor .* of dgo"):
        collect(sources, ClassNames(wanted=["dog", "dgo"]))


def test_a_limit_keeps_the_same_whatever_comes_to_it(tmp_path):
    root = make_photos(tmp_path / "set", ["dog", "cat"], 9)
    found, _ = read_photo_folder(root, "", ALL)
    kept = keep_at_most(found, 4)
    assert Counter(one.class_name for one in kept) == dict(dog=4, cat=4)
    assert {*keep_at_most(found[::-1], 4)} == {*kept}
    assert {*keep_at_most(found, 3)} < {*kept} and {*keep_at_most(found, 20)} == {*found}
    some = [one for one in found if one in kept or one.path.stem.endswith("0")]
    assert {*keep_at_most(some, 4)} == {*kept}
