"""Photographs and their masks for a set: COCO's format, folders a class, numbered instances."""

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from compose_sources import (
    BOX,
    annotation,
    compressed,
    make_coco,
    make_photos,
    mask,
    picture,
    polygon,
    save,
    uncompressed,
)
from PIL import Image

from projects.cpm_avs.datasets.composing.candidate import ClassNames, Unusable
from projects.cpm_avs.datasets.composing.class_folders import read_photo_folder
from projects.cpm_avs.datasets.composing.coco_photos import draw_instances, read_coco
from projects.cpm_avs.datasets.composing.pictures import (
    fit_instances,
    fit_photo,
    read_instances,
    read_picture,
)
from projects.cpm_avs.errors import BadSampleError

ALL = ClassNames()


def test_polygons_and_run_lengths_are_the_same_mask():
    box = mask(1)
    left, top, width, height = BOX
    rectangle = polygon(left, top, width, height)
    for one in ([rectangle], uncompressed(box), compressed(box)):
        assert np.array_equal(draw_instances([one], 120, 160), box)
    halves = [polygon(left, top, 20, height), polygon(left + 20, top, width - 20, height)]
    assert np.array_equal(draw_instances([halves], 120, 160), box)  # one object in two pieces


def test_small_instances_lie_over_large_ones():
    small, large = [polygon(50, 40, 10, 10)], [polygon(*BOX)]
    drawn = draw_instances([small, large], 120, 160)
    assert drawn[45, 55] == 1 and drawn[32, 42] == 2
    assert [np.count_nonzero(drawn == number) for number in (1, 2)] == [100, 2900]


@pytest.mark.parametrize(
    ("segmentation", "reason", "detail"),
    [
        (None, "bad_mask", "without a mask"),
        ([], "bad_mask", "three points"),
        ([[1, 2, 3, 4]], "bad_mask", "three points"),  # the library would take it for a box
        ([[1, 2, 3, 4, 5]], "bad_mask", "no polygons"),
        ([[1, 2, float("nan"), 4, 5, 6]], "bad_mask", "three points"),
        ("abc", "bad_mask", "no polygons"),
        (dict(counts="abc"), "bad_mask", "no polygons"),
        (dict(size=[120, 160], counts=[10]), "bad_mask", "don't fill"),
        (dict(size=[120, 160], counts=[0, 99999999]), "bad_mask", "don't fill"),
        (dict(size=[120, 160], counts=[-5, 19205]), "bad_mask", "no polygons"),
        (dict(size=[120, 160], counts="PPPP"), "bad_mask", "no polygons"),
        (dict(size=[10, 10], counts=[0, 100]), "wrong_size", "120, 160"),
    ],
)  # fmt: skip
def test_what_is_no_mask_is_refused(segmentation, reason, detail):
    with pytest.raises(Unusable, match=detail) as error:
        draw_instances([segmentation], 120, 160)
    assert error.value.reason == reason


def test_a_polygon_far_outside_ends_at_the_border():
    drawn = draw_instances([[polygon(-(10**12), 30, 2 * 10**12, 50)]], 120, 160)
    assert np.array_equal(np.argwhere(drawn.any(1)).ravel(), np.arange(30, 80)) and drawn[40].all()
    with pytest.raises(Unusable, match="256 objects, 255 at most"):
        draw_instances([[polygon(*BOX)]] * 256, 120, 160)


def test_a_photograph_comes_once_a_class_with_its_licence(tmp_path):
    json_, images = make_coco(
        tmp_path,
        [
            annotation(1, 1, [polygon(0, 0, 40, 40)]),
            annotation(1, 1, [polygon(60, 60, 50, 50)]),
            annotation(1, 2, [polygon(80, 0, 60, 40)]),
            annotation(2, 2, [polygon(*BOX)]),
            annotation(2, 1, uncompressed(mask(1)), iscrowd=1),
            annotation(3, 3, [polygon(*BOX)]),
        ],
        ["dog", "cell phone", "toaster"],
    )
    names = ClassNames({"Cell phone": "phone"}, wanted=["dog", "phone"])
    found, left_out = read_coco(json_, images, "test", names)
    assert [(one.path.name, one.class_name) for one in found] == [
        ("000000000001.jpg", "dog"), ("000000000001.jpg", "phone"), ("000000000002.jpg", "phone"),
    ]  # fmt: skip
    assert {one.licence for one in found} == {"Attribution License (https://cc/by/2.0/)"}
    assert {one.split for one in found} == {"test"} and found[0].source == "instances"
    assert found[0].origin == found[1].origin != found[2].origin
    assert sorted(Counter(found[0].instances(120, 160).ravel())) == [0, 1, 2]
    (crowd,) = left_out
    assert (crowd.reason, crowd.class_name, crowd.path) == ("crowd", "dog", found[2].path)


def test_a_licence_that_no_line_tells_is_not_stated(tmp_path):
    one = [annotation(1, 1, [polygon(*BOX)])]
    json_, images = make_coco(tmp_path, one, ["dog"], licenses=[])
    assert read_coco(json_, images, "", ALL)[0][0].licence == "not stated"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), "there is no such file"),
        (lambda path: path.write_text("{"), "it is no JSON"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "it is no JSON"),
        (lambda path: path.write_text("[" * 100_000), "it is no JSON"),
        (lambda path: path.write_text("[1]"), "lacks images, annotations, categories"),
        (lambda path: edit(path, categories=None), "lacks categories"),
        (lambda path: edit(path, annotations=[dict(segments_info=[])]), "panoptic"),
        (lambda path: edit(path, annotations=[dict(image_id=1, caption="a dog")]), "category_id"),
        (lambda path: edit(path, annotations=[annotation(1, 9, [[]])]), "9"),
        (lambda path: edit(path, annotations=[annotation(9, 1, [polygon(*BOX)])]), "9"),
        (lambda path: edit(path, annotations=[annotation(1, 1, [])]), "boxes, but no masks"),
        (lambda path: edit(path, images=5), "no COCO file of instances"),
    ],
)
def test_another_json_is_refused_by_name(tmp_path, change, message):
    json_, images = make_coco(tmp_path, [annotation(1, 1, [polygon(*BOX)])], ["dog"])
    change(json_)
    with pytest.raises(BadSampleError, match=message) as error:
        read_coco(json_, images, "", ALL)
    assert error.value.path == str(json_) and "instances_val2017.json" in str(error.value)


def edit(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: one for key, one in content.items() if one is not None}))


def test_a_folder_without_the_images_is_refused(tmp_path):
    json_, _ = make_coco(tmp_path, [annotation(1, 1, [polygon(*BOX)])], ["dog"])
    with pytest.raises(BadSampleError, match=r"000000000001\.jpg: is missing, as are all other"):
        read_coco(json_, tmp_path / "elsewhere", "", ALL)


def test_masks_are_found_beside_their_photographs(tmp_path):
    dog = tmp_path / "set" / "dog"
    cutout = np.dstack([picture(9), 255 * mask(1)])
    save(dog / "a.jpg", picture(1)), save(dog / "a.png", mask(1))
    save(dog / "b.png", picture(2)), save(dog / "b_mask.png", mask(1))
    save(dog / "c.png", cutout)
    save(dog / "d.webp", picture(3)), save(dog / "d_mask.png", mask(1))
    save(dog / "e.JPG", picture(4)), save(dog / "e.PNG", mask(1))
    found, left_out = read_photo_folder(tmp_path / "set", "", ALL)
    pairs = {one.path.name: [path.name for path in one.made_from] for one in found}
    assert pairs == {
        "a.jpg": ["a.png"], "b.png": ["b_mask.png"], "c.png": [],
        "d.webp": ["d_mask.png"], "e.JPG": ["e.PNG"],
    }  # fmt: skip
    assert left_out == [] and [one.path.name for one in found if one.instances is None] == ["c.png"]
    assert {one.licence for one in found} == {"not stated"}


def test_folders_of_splits_are_kept(tmp_path):
    for split in ("train", "test"):
        make_photos(tmp_path / "set" / split, ["dog"], 2)
    found, _ = read_photo_folder(tmp_path / "set", "", ALL)
    assert Counter(one.split for one in found) == dict(train=2, test=2)
    assert {one.class_name for one in found} == {"dog"}
    assert {one.split for one in read_photo_folder(tmp_path / "set", "val", ALL)[0]} == {"val"}
    make_photos(tmp_path / "set", ["cat"], 1)  # now they are classes
    found, _ = read_photo_folder(tmp_path / "set", "", ALL)
    assert {one.class_name for one in found} == {"train", "test", "cat"}


def test_folders_that_hold_no_classes_are_refused(tmp_path):
    with pytest.raises(BadSampleError, match="there is no such folder"):
        read_photo_folder(tmp_path / "set", "", ALL)
    save(tmp_path / "set/dog.jpg", picture(1))
    with pytest.raises(BadSampleError, match="Put the files in a folder a class"):
        read_photo_folder(tmp_path / "set", "", ALL)


@pytest.mark.parametrize(
    ("values", "mode", "wanted"),
    [
        ([0, 1, 2], "L", [0, 1, 2]),
        ([0, 7, 3], "L", [0, 2, 1]),  # without gaps
        ([0, 255, 255], "L", [0, 1, 1]),
        ([0, 255, 255, 255, 200, 90], "L", [0, 1, 1, 1, 1, 0]),  # a soft edge
        ([0, 1, 1, 2, 255], "P", [0, 1, 1, 2, 0]),  # VOC's border
        ([0, 1, 1], "1", [0, 1, 1]),
        ([0, 0, 0], "L", [0, 0, 0]),
    ],
)
def test_masks_number_instances_or_are_black_and_white(tmp_path, values, mode, wanted):
    image = Image.fromarray(np.array([values], np.uint8) * (255 if mode == "1" else 1))
    if mode == "P":
        image.putpalette([0, 0, 0] * 256)
    (image.convert("1") if mode == "1" else image).save(tmp_path / "mask.png")
    read = read_instances(tmp_path / "mask.png", 1, len(values))
    assert read.tolist() == [wanted] and read.dtype == np.uint8


def test_other_masks_are_refused(tmp_path):
    for name, image, reason in (
        ("colours", picture(1), "bad_mask"),
        ("small", mask(1)[:10], "wrong_size"),
    ):
        save(tmp_path / f"{name}.png", image)
        with pytest.raises(Unusable) as error:
            read_instances(tmp_path / f"{name}.png", 120, 160)
        assert error.value.reason == reason
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(Unusable, match="decoded"):
        read_instances(tmp_path / "no.png", 120, 160)


def test_pictures_are_read_as_they_are_meant(tmp_path):
    image = picture(1)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(image[..., ::-1]).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_picture(tmp_path / "turned.png"), np.rot90(image, -1))
    Image.fromarray(image[..., 0]).save(tmp_path / "grey.png")
    assert read_picture(tmp_path / "grey.png").shape == (120, 160, 3)
    cutout = np.dstack([image, mask(1)])
    save(tmp_path / "cutout.png", cutout)
    assert np.array_equal(read_picture(tmp_path / "cutout.png"), cutout)
    for name, reason in (("absent.png", "missing"), ("text.png", "unreadable")):
        (tmp_path / "text.png").write_text("no picture")
        with pytest.raises(Unusable) as error:
            read_picture(tmp_path / name)
        assert error.value.reason == reason


def test_masks_shrink_with_their_photographs():
    numbered = np.zeros((300, 200), np.uint8)
    numbered[30:90, 20:60], numbered[90:210, 100:160] = 3, 1
    small = fit_instances(numbered, 100)
    assert small.shape == fit_photo(np.zeros((300, 200, 3), np.uint8), 100).shape[:2] == (100, 67)
    wanted = np.zeros((100, 67), np.uint8)
    # Columns of 200 / 67 px: 20 to 60 is 6.7 to 20.1 of them, 100 to 160 is 33.5 to 53.6.
    wanted[10:30, 7:20], wanted[30:70, 34:54] = 3, 1
    assert np.argwhere(small != wanted)[:, 1].tolist() in ([], [33] * 40)  # half of it
    assert np.array_equal(fit_instances(numbered, 300), numbered)
    cut = cv2.resize((numbered == 3).astype(np.float32), (67, 100), interpolation=cv2.INTER_AREA)
    assert np.array_equal(small == 3, cut > 0.5)
