"""Scenes of photographs and recordings: the index, cut-outs, backdrops, plans and labels."""

import json
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope
from photo_set import SPLITS, write_photo_set
from PIL import Image

from projects.cpm_avs.commands import make_clip
from projects.cpm_avs.datasets.composed.backdrop import MIN_SHARE_INSIDE, draw_window
from projects.cpm_avs.datasets.composed.clip import compose_clip, plan_clip
from projects.cpm_avs.datasets.composed.composed_dataset import ComposedDataset
from projects.cpm_avs.datasets.composed.index import read_index
from projects.cpm_avs.datasets.composed.library import (
    Library,
    Photograph,
    load_cutout,
    load_photograph,
)
from projects.cpm_avs.datasets.composed.placement import GRID
from projects.cpm_avs.datasets.composed.stamps import CLASSES
from projects.cpm_avs.errors import BadSampleError, UserError
from projects.cpm_avs.inference.example_clips import example_scenes, examples_for


def read_frames_of(path: Path) -> list:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    init_default_scope("mmseg")
    return write_photo_set(tmp_path_factory.mktemp("photos"))


def scenes(root: Path, subset: str = "ss", **kwargs) -> ComposedDataset:
    settings = dict(split="test", num_scenes=40, image_size=64, pipeline=[]) | kwargs
    return ComposedDataset(data_root=str(root), subset=subset, **settings)


def test_what_can_be_seen_and_heard_is_labelled_and_the_rest_comes_after(root):
    dataset = scenes(root)
    assert dataset.metainfo["classes"] == ("background", "cat", "cow", "dog")
    library = dataset.library
    assert library.names == ("cat", "cow", "dog", "bike", "wind") and library.num_labelled == 3
    assert library.visible == [1, 2, 3, 4] and library.audible == [1, 2, 3, 5]
    assert [len(items) for items in library.photos] == [2, 2, 2, 2, 0]


def test_splits_share_no_file_and_number_the_classes_alike(root):
    used = []
    for split in SPLITS:
        library = scenes(root, split=split).library
        assert library.names == scenes(root).library.names
        files = {item.file for items in (*library.photos, *library.sounds) for item in items}
        assert len(files) == 16 and all(f"-{split}-" in file for file in files)
        used.append(files)
    assert not used[0] & used[1] and not used[0] & used[2] and not used[1] & used[2]


def test_sources_can_be_left_out(root):
    library = scenes(root, leave_out=["album-1", "tape-0"]).library
    assert {item.source for items in library.photos for item in items} == {"album-0"}
    assert {item.source for items in library.sounds for item in items} == {"tape-1"}
    with pytest.raises(ValueError, match="0 classes with photographs, 0 of them with recordings"):
        scenes(root, leave_out=["album-0", "album-1"])


def test_files_can_be_left_out(root):
    items = scenes(root).library.photos[0]
    name = Path(items[0].file).relative_to(root).as_posix()
    assert scenes(root, leave_out=[name]).library.photos[0] == items[1:]
    assert scenes(root, leave_out=[name[1:]]).library.photos[0] == items  # the end of a name


def test_some_classes_alone(root):
    whole, some = scenes(root), scenes(root, "ss", num_objects=2, classes=["cat", "dog"])
    assert some.library.names == whole.library.names  # and so are their labels
    assert some.metainfo["classes"] == whole.metainfo["classes"]
    for info in map(some.get_data_info, range(20)):
        assert some.visible_classes(info) <= {1, 3} and some.heard_classes(info) <= {1, 3}
    with pytest.raises(ValueError, match=r"no class yak; it has cat, cow, dog"):
        scenes(root, classes=["dog", "yak"])


def test_examples_show_what_the_model_knows():
    known = ("background", "airplane", "cow", "dog", "horse", "sheep")
    plan = examples_for(known, seed=1).plan(0)
    assert {CLASSES[one] for one in plan.visible_classes} < {"cow", "dog", "horse", "sheep"}
    assert examples_for(("background", "dog"), seed=1).only == ()  # too few for a scene


def test_a_scene_is_the_same_for_seed_split_and_index(root):
    first, again = scenes(root, "ms", num_objects=4), scenes(root, "ms", num_objects=4)
    again.compose(7, 7)  # another order
    for key in ("img", "gt_seg_map", "visible_map", "waveform"):
        assert np.array_equal(first.compose(3, 3)[key], again.compose(3, 3)[key])
    assert not np.array_equal(
        first.compose(3, 3)["img"], scenes(root, "ms", num_objects=4, seed=1).compose(3, 3)["img"]
    )
    assert scenes(root, "ms", num_objects=4, image_size=160).plan(3) == first.plan(3)


def test_labels_are_what_sounds_and_silent_classes_are_never_labelled(root):
    dataset = scenes(root, plain_prob=0.3, offscreen_prob=0.5, num_scenes=80)
    seen, heard, plain = set(), set(), 0
    for index in range(80):
        plan, scene = dataset.plan(index), dataset.compose(index, index)
        labels = set(np.unique(scene["gt_seg_map"])) - {0}
        assert labels == set(scene["sound_classes"]) == plan.sounding_classes
        assert plan.sounding_classes <= plan.heard_classes and 4 not in plan.heard_classes
        assert set(np.unique(scene["visible_map"])) - {0} == plan.visible_classes - {4}
        same = scene["gt_seg_map"] == scene["visible_map"]
        assert np.all(same | (scene["gt_seg_map"] == 0))
        seen |= plan.visible_classes
        heard |= plan.heard_classes
        if not plan.objects:
            plain += 1
    assert seen == {1, 2, 3, 4} and heard == {1, 2, 3, 5}
    assert 10 < plain < 40


def test_a_plain_photograph_is_shown_as_it_is(root):
    dataset = scenes(root, plain_prob=1.0, num_scenes=60)
    plans = [dataset.plan(index) for index in range(60)]
    assert not any(plan.objects for plan in plans)
    told = [plan for plan in plans if plan.sounding_classes]
    foreign = [plan for plan in plans if plan.heard_classes and not plan.sounding_classes]
    assert 12 < len(told) < 40 and 12 < len(foreign) < 40
    for plan in foreign:
        assert not plan.heard_classes & plan.visible_classes
    index = plans.index(told[0])
    backdrop, scene = told[0].backdrop, dataset.compose(index, index)
    photograph = dataset.library.photograph(backdrop.class_index, backdrop.photo)
    left, top, side = backdrop.window
    mask = photograph.instances[top : top + side, left : left + side] > 0
    mask = mask[:, ::-1] if backdrop.mirrored else mask
    share = np.mean(scene["gt_seg_map"] == backdrop.class_index)
    assert share == pytest.approx(mask.mean(), abs=0.02)
    # Both instances of the photograph are of its class, and so both are labelled.
    assert cv2.connectedComponents((scene["gt_seg_map"] > 0).astype(np.uint8))[0] >= 2


def test_one_of_two_instances_sounds_and_both_are_pasted(root):
    dataset = scenes(root, "msmi", num_channels=2, plain_prob=0.0)
    for index in range(40):
        plan = dataset.plan(index)
        classes = [item.class_index for item in plan.objects]
        (twin,) = {c for c in classes if classes.count(c) == 2}
        assert plan.backdrop is not None and plan.backdrop.class_index != twin
        first, second = (item for item in plan.objects if item.class_index == twin)
        assert first.photo != second.photo  # there are two
        assert not (first.sounds and second.sounds)


def test_the_backdrops_object_is_seen_and_heard_where_it_is(root):
    dataset = scenes(root, "ms", num_objects=4, num_sounding=[3], plain_prob=0.0, silent_prob=0.0)
    for index in range(30):
        plan = dataset.plan(index)
        backdrop = plan.backdrop
        shown = backdrop.draw(dataset.library, GRID)[1]
        picture = dataset.compose(index, index)["visible_map"]
        if backdrop.class_index <= 3:
            visible = np.mean(picture == backdrop.class_index)
            assert visible > 0.35 * shown.mean()
        if backdrop.sounds:
            (source,) = (s for s in plan.sources if s.class_index == backdrop.class_index)
            middle = (np.nonzero(shown)[1].mean() + 0.5) / GRID
            assert source.position == pytest.approx(middle)


def test_the_window_shows_enough_of_an_object_at_the_edge():
    instances = np.zeros((40, 120), np.uint8)
    instances[10:30, 100:118] = 1
    photograph = Photograph(np.zeros((40, 120, 3), np.uint8), instances)
    for seed in range(20):
        left, top, side = draw_window(np.random.default_rng(seed), photograph)
        inside = instances[top : top + side, left : left + side]
        assert side <= 40 and inside.sum() >= MIN_SHARE_INSIDE * instances.sum()


def test_the_largest_instance_is_cut_out_with_a_soft_edge(root):
    cutout = load_cutout(str(root / "cat-test-0.png"), str(root / "cat-test-0-mask.png"))
    assert cutout.size == (29, 29)  # the disc of radius 14, not the one of 5 in the corner
    opacity = cutout.levels[0][..., 3]
    assert opacity[14, 14] == pytest.approx(1, abs=1e-3) and opacity[0, 0] == 0
    assert np.any((opacity > 0.2) & (opacity < 0.8))
    assert 0.6 < cutout.opaque_share < np.pi / 4
    # Colours are multiplied by the opacity, and those of the surroundings stay behind.
    inside = opacity > 0.5
    color = cutout.levels[0][inside][:, :3] / opacity[inside][:, None]
    np.testing.assert_allclose(color, np.broadcast_to(color[0], color.shape), atol=0.02)


def test_pasted_objects_come_halfway_to_the_brightness_of_the_photograph(root):
    dataset = scenes(root, plain_prob=0.0, num_scenes=1)
    plan = dataset.plan(0)
    plain_light = tuple(
        replace(item, light=(1.0, 1.0, 1.0), size=0.3, center=(0.5, 0.5)) for item in plan.objects
    )[:1]
    drawn = {}
    for factor in (0.25, 1.0):
        backdrop = replace(plan.backdrop, light=(factor,) * 3)
        changed = replace(plan, objects=plain_light, backdrop=backdrop)
        dataset.plan = lambda _, p=changed: p
        drawn[factor] = dataset.compose(0, 0)["img"][32, 32].astype(float).mean()
    # A quarter of the light: half of it, unless the bounds 0.6 and 1.6 are met.
    assert 0.35 < drawn[0.25] / drawn[1.0] < 0.75


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,cutout\n", "lacks the columns kind, class, split, file, mask"),
        ("kind,class,split,file,mask\nfoto,cat,train,a.png,\n", "line 2: kind 'foto'"),
        ("kind,class,split,file,mask\nphoto,cat,dev,a.png,\n", "split 'dev'.*train, val, test"),
        ("kind,class,split,file,mask\nphoto,,train,a.png,\n", "line 2.*class ''"),
    ],
)
def test_rows_that_do_not_fit_are_named(tmp_path, text, message):
    (tmp_path / "index.csv").write_text(text)
    with pytest.raises(BadSampleError, match=message):
        read_index(tmp_path, "")


def test_files_that_do_not_fit_are_named(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "m.png"), np.zeros((8, 8), np.uint8))
    cv2.imwrite(str(tmp_path / "small.png"), np.ones((4, 8), np.uint8))
    picture, mask = str(tmp_path / "a.png"), str(tmp_path / "m.png")
    with pytest.raises(BadSampleError, match="m.png: it marks no object"):
        load_photograph(picture, mask)
    with pytest.raises(BadSampleError, match=r"small.png: .*\(4, 8\).*\(8, 8\)"):
        load_photograph(picture, str(tmp_path / "small.png"))
    with pytest.raises(BadSampleError, match="b.png: the picture is missing"):
        load_photograph(str(tmp_path / "b.png"), mask)
    with pytest.raises(BadSampleError, match="a.png: the cut-out is no RGBA picture"):
        load_cutout(picture, None)


def test_a_set_too_small_for_its_scenes_is_refused(root):
    with pytest.raises(ValueError, match="4 classes with photographs, 3 of them .* need 6"):
        scenes(root, "ms")
    assert Library([]).names == ()


def test_a_clip_of_photographs(root):
    dataset = scenes(root, num_scenes=1, plain_prob=0.0, image_size=48)
    clip = compose_clip(dataset, seconds=6.0, fps=4.0)
    assert clip.frames.shape == (24, 48, 48, 3) and clip.waveform.shape == (1, 96000)
    assert not np.array_equal(clip.frames[0], clip.frames[1])  # it moves
    assert len({mask.tobytes() for mask in clip.masks}) > 2
    labels = set(np.unique(clip.masks)) - {0}
    assert labels and labels <= {1, 2, 3}


def test_a_clip_of_what_makes_no_sound_is_silent(root):
    dataset = scenes(root, plain_prob=1.0)
    plans = [plan_clip(dataset, index, seconds=6.0) for index in range(40)]
    silent = [index for index, plan in enumerate(plans) if not any(plan.turns)]
    assert silent  # photographs of a class that has no recordings
    clip = compose_clip(dataset, silent[0], seconds=4.0, fps=2.0)
    assert not clip.waveform.any() and not clip.masks.any() and clip.owners.any()


def test_a_clip_is_written_with_its_truth(root, tmp_path):
    arguments = [str(tmp_path / "clip.mp4"), "--subset", "ss", "--seconds", "4"]
    earlier = tmp_path / "truth" / "masks" / "frame_000048.png"  # of a longer clip
    earlier.parent.mkdir(parents=True)
    earlier.write_text("")
    arguments += ["--data-root", str(root), "--truth", str(tmp_path / "truth")]
    with pytest.raises(UserError, match="truth: holds files of others"):
        make_clip.main(arguments)
    assert earlier.exists() and not (tmp_path / "clip.mp4").exists()
    (tmp_path / "truth" / ".cpm_avs").touch()  # as if this program had written it
    make_clip.main(arguments)
    report = json.loads((tmp_path / "truth" / "report.json").read_text())
    assert report["classes"] == ["background", "cat", "cow", "dog"]
    masks = sorted((tmp_path / "truth" / "masks").iterdir())
    assert len(masks) == len(report["frames"]) == 48
    scenes = example_scenes(seed=1, subset="ss", data_root=str(root))
    composed = compose_clip(scenes, seconds=4.0, fps=12)
    for path, mask, frame in zip(masks, composed.masks, report["frames"], strict=True):
        assert np.array_equal(np.array(Image.open(path)), mask)
        assert {one["label"] for one in frame["objects"]} == set(np.unique(mask)) - {0}
    # What is said to sound is what the masks show at that time.
    for segment in report["sounding"]:
        middle = round((segment["start"] + segment["end"]) / 2 * 12)
        assert segment["label"] in composed.masks[middle]
    assert report["sounding"] and len(read_frames_of(tmp_path / "clip.mp4")) == 48


def test_all_that_is_visible_can_be_labelled(root):
    """As a start for what sees: the scene and its sound stay, the labels are of what is seen."""
    compose, visible = dict(type="ComposeScene"), dict(type="LabelVisible")
    plain, seen = (
        scenes(root, "ms", num_objects=4, pipeline=steps)
        for steps in ([compose], [compose, visible])
    )
    more = 0
    for index in range(6):
        one, other = plain[index], seen[index]
        assert np.array_equal(one["img"], other["img"])
        assert np.array_equal(one["waveform"], other["waveform"])
        assert np.array_equal(other["gt_seg_map"], one["visible_map"])
        assert other["sound_classes"] == sorted(set(np.unique(one["visible_map"])) - {0})
        more += len(other["sound_classes"]) > len(one["sound_classes"])
    assert more > 2
