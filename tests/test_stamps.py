"""AVS-Stamps: the files, the scenes, their sounds, and what can be had without listening."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import soundfile
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from projects.cpm_avs.datasets.composed.backgrounds import FAMILIES
from projects.cpm_avs.datasets.composed.clip import TURN_SECONDS, compose_clip
from projects.cpm_avs.datasets.composed.index import read_index
from projects.cpm_avs.datasets.composed.library import REFERENCE_LEVEL, Cutout, Recording
from projects.cpm_avs.datasets.composed.placement import MIN_TWIN_DISTANCE, PlacedObject
from projects.cpm_avs.datasets.composed.plan import ScenePlan, Source
from projects.cpm_avs.datasets.composed.scene import cut_stretch, draw_picture, mix_sources
from projects.cpm_avs.datasets.composed.stamps import CLASSES, PALETTE, StampsDataset, load_stamps
from projects.cpm_avs.datasets.prepare.oracle import oracle_miou
from projects.cpm_avs.datasets.prepare.stamps import check_sounds
from projects.cpm_avs.errors import BadSampleError

pytestmark = pytest.mark.usefixtures("mmseg_scope")

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data/stamps"
PIPELINE = [dict(type="ComposeStampsScene"), dict(type="PackAVSInputs")]
SUBSETS = ("ss", "ms", "msmi")


def scenes(subset="ss", split="test", num_scenes=20, **kwargs) -> StampsDataset:
    settings = dict(subset=subset, split=split, num_scenes=num_scenes, data_root=str(DATA))
    return StampsDataset(**settings, pipeline=PIPELINE, **kwargs)


# ---- files


def test_files_are_what_the_index_says_and_small():
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) <= 4 * 2**20
    items = read_index(DATA, "")
    photos, recordings = items[: len(items) // 2], items[len(items) // 2 :]
    assert [item.class_name for item in photos] == list(CLASSES[1:]) and len(photos) >= 24
    assert [item.class_name for item in recordings] == list(CLASSES[1:])
    assert {item.split for item in items} == {""}
    assert PALETTE[1] == [128, 0, 0] and PALETTE[24] == [64, 64, 0]
    assert len(PALETTE) == len(CLASSES) == len({tuple(color) for color in PALETTE})
    sounds = {}
    for photo, recording in zip(photos, recordings, strict=True):
        image = cv2.imread(photo.file, cv2.IMREAD_UNCHANGED)
        assert image.shape[2] == 4 and max(image.shape) <= 256
        assert image[..., 3].max() == 255 and image[..., 3].min() == 0
        assert photo.source.endswith(".png") and recording.source.endswith(".ogg")
        assert "_desc" not in recording.source
        sounds[photo.class_name], rate = soundfile.read(recording.file, dtype="float32")
        assert rate == 16000 and sounds[photo.class_name].ndim == 1
    check_sounds(sounds)  # long enough, loud enough, no two the same
    assert "GNU GENERAL PUBLIC LICENSE" in (DATA / "LICENSE").read_text()


def test_missing_index_is_named(tmp_path):
    with pytest.raises(BadSampleError, match=r"index.csv: .*no such index.*prepare_data.py stamps"):
        load_stamps(str(tmp_path))


# ---- scenes


@pytest.mark.parametrize("subset", SUBSETS)
def test_scene_is_the_same_for_seed_split_and_index(subset):
    first, again = scenes(subset), scenes(subset)
    again[7]  # another order
    for key in ("img", "gt_seg_map", "waveform"):
        assert np.array_equal(first.compose(3, 3)[key], again.compose(3, 3)[key])
    for other in (scenes(subset, seed=1), scenes(subset, "val"), scenes(subset, "train")):
        assert not np.array_equal(first.compose(3, 3)["img"], other.compose(3, 3)["img"])
    # The size of the picture changes neither what is in the scene nor what is heard.
    larger = scenes(subset, image_size=160)
    assert larger.plan(3) == first.plan(3)
    assert np.array_equal(larger.compose(3, 3)["waveform"], first.compose(3, 3)["waveform"])


def test_splits_share_no_scene_and_test_no_family_of_backgrounds():
    assert FAMILIES["train"] == FAMILIES["val"]
    assert not set(FAMILIES["train"]) & set(FAMILIES["test"])
    plans, backgrounds = [], []
    for split in ("train", "val", "test"):
        dataset = scenes(split=split, num_scenes=60)
        plans += [dataset.plan(index) for index in range(60)]
        backgrounds += [
            draw_picture(replace(plan, objects=()), dataset.library, split=split, size=16)
            for plan in plans[-60:]
        ]
    assert len({plan.objects for plan in plans}) == 180
    assert len({picture.image.tobytes() for picture in backgrounds}) == 180


def sounding_and_silent(plan: ScenePlan) -> tuple[list[int], list[int]]:
    sounding = [item.class_index for item in plan.objects if item.sounds]
    return sounding, [item.class_index for item in plan.objects if not item.sounds]


@pytest.mark.parametrize(("subset", "counts"), [("ss", {1}), ("ms", {2, 3})])
def test_classes_of_a_scene_differ_and_some_sound(subset, counts):
    dataset = scenes(subset, num_scenes=80)
    seen = set()
    for index in range(80):
        plan = dataset.plan(index)
        sounding, silent = sounding_and_silent(plan)
        assert len({*sounding, *silent}) == len(plan.objects) == dataset.scene_config.num_objects
        seen.add(len(sounding))
        off_screen = plan.heard_classes - set(sounding)
        assert not off_screen & plan.visible_classes and len(off_screen) <= 1
    assert seen == counts | {0}  # now and then nothing sounds


def test_one_of_two_instances_sounds():
    dataset = scenes("msmi", num_scenes=60, silent_prob=0.0)
    for index in range(60):
        plan = dataset.plan(index)
        sounding, silent = sounding_and_silent(plan)
        assert len(sounding) == 1 and silent.count(sounding[0]) == 1
        assert len(set(silent)) == len(silent) == 3
        one, two = (o.center[0] for o in plan.objects if o.class_index == sounding[0])
        assert abs(one - two) >= MIN_TWIN_DISTANCE


@pytest.mark.parametrize("subset", SUBSETS)
def test_labels_are_what_sounds_and_everything_can_be_seen(subset):
    dataset, library = scenes(subset, num_scenes=60), load_stamps(str(DATA))
    for index in range(60):
        plan, scene = dataset.plan(index), dataset.compose(index, index)
        assert scene["img"].shape == (96, 96, 3) and scene["img"].dtype == np.uint8
        assert set(np.unique(scene["gt_seg_map"])) - {0} == set(scene["sound_classes"])
        assert set(scene["sound_classes"]) == set(sounding_and_silent(plan)[0])
        assert set(np.unique(scene["visible_map"])) - {0} == plan.visible_classes
        same = scene["gt_seg_map"] == scene["visible_map"]
        assert np.all(same | (scene["gt_seg_map"] == 0))
        picture = draw_picture(plan, library, split="test", size=96)
        pixels = np.bincount(picture.owner.ravel(), minlength=len(plan.objects) + 1)[1:]
        for item, visible in zip(plan.objects, pixels, strict=True):
            cutout = library.cutout(item.class_index, 0)
            area = cutout.opaque_share * np.prod(cutout.size) * item.scale(cutout, 96) ** 2
            assert visible > 0.35 * area and visible > 40  # half of it, to the grid's precision


def test_half_mirrored_objects_are_drawn_mirrored():
    """An L of 8x8 px, drawn at double size in the middle of a 32 px picture."""
    cutout = np.zeros((8, 8, 4), np.float32)
    cutout[:, :2] = cutout[6:, :] = 1
    share = float((cutout[..., 3] > 0).mean())
    library = SimpleNamespace(cutout=lambda *_: Cutout((cutout,), cutout[..., 3], share))
    plan = scenes().plan(0)
    template = plan.objects[0]
    drawn = {}
    for mirrored in (False, True):
        item = PlacedObject(
            class_index=1,
            sounds=True,
            center=(0.5, 0.5),
            size=16 / 32 * share**0.5,
            angle=0.0,
            mirrored=mirrored,
            light=template.light,
        )
        picture = draw_picture(replace(plan, objects=(item,)), library, split="test", size=32)
        drawn[mirrored] = picture.owner
    assert np.array_equal(drawn[True], drawn[False][:, ::-1])
    columns = np.flatnonzero(drawn[False].any(axis=0))
    assert columns[0] == 8 and columns[-1] == 23
    assert drawn[False][9, 9] == 1 and drawn[False][9, 20] == 0 and drawn[False][22, 20] == 1


# ---- sounds


def test_stereo_follows_the_object():
    dataset = scenes("msmi", num_scenes=40, num_channels=2, silent_prob=0.0, offscreen_prob=0.0)
    for index in range(40):
        (item,) = (o for o in dataset.plan(index).objects if o.sounds)
        left, right = np.abs(dataset.compose(index, index)["waveform"]).sum(axis=1)
        assert abs(right / (left + right) - item.center[0]) < 1e-3
        assert dataset[index]["data_samples"].sound_positions == [
            (item.class_index, item.center[0])
        ]


def test_sounds_are_heard_and_do_not_clip():
    dataset = scenes("ms", num_scenes=60, gain_db=20.0)
    for index in range(60):
        waveform = dataset.compose(index, index)["waveform"]
        assert waveform.shape == (1, 15360) and waveform.dtype == np.float32
        assert np.abs(waveform).max() <= 1
        assert waveform.any() == bool(dataset.plan(index).sources)


def test_every_stretch_of_a_recording_is_loud_enough():
    library = load_stamps(str(DATA))
    for index, name in enumerate(library.names, start=1):
        recording = library.recording(index, 0)
        levels = [
            float(np.sqrt(np.mean(cut_stretch(recording, phase, 15360) ** 2)))
            for phase in np.linspace(0, 0.999, 25)
        ]
        assert min(levels) > 0.2 * REFERENCE_LEVEL, name
        assert max(levels) <= 1.1 * REFERENCE_LEVEL, name


def test_short_recordings_repeat():
    ramp = np.arange(1, 5, dtype=np.float32)[None]
    recording = Recording(ramp, np.zeros(1))
    library = SimpleNamespace(recording=lambda *_: recording)
    assert cut_stretch(recording, 0.5, 6).tolist() == [[3, 4, 1, 2, 3, 4]]
    source = Source(class_index=1, phase=0.0, gain=0.1, position=0.25)
    mixed = mix_sources([source, source], library, num_samples=5, channels=2)
    # Twice 0.1 w, a quarter of it on the right: 0.15 and 0.05 times w.
    np.testing.assert_allclose(mixed, [[0.15, 0.3, 0.45, 0.6, 0.15], [0.05, 0.1, 0.15, 0.2, 0.05]])


# ---- the data set


@pytest.mark.parametrize("subset", SUBSETS)
def test_sound_blind_oracle_stays_at_40_or_below(subset):
    assert oracle_miou(scenes(subset, num_scenes=120, image_size=48)) <= 40


def test_oracle_by_hand(monkeypatch):
    """One of two equal halves is labelled: background right, one class right, one invented."""
    truth, visible = np.zeros((2, 4), np.uint8), np.zeros((2, 4), np.uint8)
    truth[0, :2], visible[0, :2], visible[1, :2] = 1, 1, 2
    dataset = scenes(num_scenes=1)
    monkeypatch.setattr(dataset, "compose", lambda *_: dict(gt_seg_map=truth, visible_map=visible))
    # Background 4 of 6, class 1 2 of 2, class 2 0 of 2, 22 classes absent: 0.
    assert abs(oracle_miou(dataset) - 100 * (4 / 6 + 1) / 25) < 1e-9


def test_packed_sample():
    sample = scenes("ms", image_size=64, num_channels=2)[4]
    assert sample["inputs"]["img"].shape == (3, 64, 64)
    assert sample["inputs"]["waveform"].shape == (2, 15360)
    packed = sample["data_samples"]
    assert packed.gt_sem_seg.data.shape == (1, 64, 64) and packed.ori_shape == (64, 64)
    assert packed.subset == "ms" and packed.clip_id == "stamps-ms-test-0/00004"
    assert set(packed.gt_sem_seg.data.unique().tolist()) - {0} == set(packed.sound_classes)


def test_offscreen_condition_takes_the_sound_of_classes_that_are_not_in_the_picture():
    swapped = scenes(test_mode=True, audio_condition="offscreen")
    plain = scenes(test_mode=True)
    for index in range(10):
        donor = swapped.offscreen_donor(index)
        assert not swapped.plan(donor).heard_classes & swapped.plan(index).visible_classes
        sound, image = (swapped[index]["inputs"][key] for key in ("waveform", "img"))
        assert sound.any() and torch.equal(sound, plain[donor]["inputs"]["waveform"])
        assert torch.equal(image, plain[index]["inputs"]["img"])


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="subset='sm'"):
        scenes("sm")
    with pytest.raises(ValueError, match=r"num_sounding=\(3,\) of num_objects=3"):
        scenes("msmi", num_objects=3, num_sounding=(3,))
    with pytest.raises(ValueError, match="num_scenes=0"):
        scenes(num_scenes=0)
    with pytest.raises(ValueError, match="StampsDataset takes no seg_map_suffix, ann_file: its in"):
        scenes(seg_map_suffix=".gif", ann_file="my.csv")
    for setting in (
        dict(image_size=0), dict(num_samples=-5), dict(silent_prob=2), dict(gain_db=float("nan")),
        dict(offscreen_prob=float("nan")), dict(object_size=(0.5, 0.2)), dict(num_objects=0),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"{next(iter(setting))}=.*(give|can sound)"):
            scenes(**setting)
    with pytest.raises(ValueError, match="classes are those of the index"):
        scenes(metainfo=dict(classes=("background", "dog")))
    with pytest.raises(TypeError, match="num_object"):
        scenes(num_object=3)


@pytest.mark.parametrize(("name", "subset", "channels"), [
    ("stamps", "ss", 1), ("stamps-ms", "ms", 1), ("stamps-msmi", "msmi", 2),
])  # fmt: skip
def test_config_bases(name, subset, channels):
    config = Config.fromfile(ROOT / f"configs/_base_/datasets/{name}.py")
    assert config.num_classes == len(CLASSES) and config.audio_channels == channels
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.data_root = str(DATA)
        batch = next(iter(Runner.build_dataloader(loader, seed=0)))
        assert len(batch["data_samples"]) == 16
        assert batch["inputs"]["img"][0].shape == (3, config.img_scale, config.img_scale)
        assert batch["inputs"]["waveform"][0].shape == (channels, 15360)
        assert {sample.subset for sample in batch["data_samples"]} == {subset}


# ---- clips


def test_clip():
    settings = dict(num_scenes=1, seed=2, image_size=48)
    clip, again = (compose_clip(scenes(**settings), seconds=4.0, fps=5.0) for _ in range(2))
    assert clip.frames.shape == (20, 48, 48, 3) and clip.masks.shape == (20, 48, 48)
    assert clip.waveform.shape == (1, 64000) and np.abs(clip.waveform).max() <= 1
    assert np.array_equal(clip.frames, again.frames)
    assert np.array_equal(clip.waveform, again.waveform)
    classes = [frozenset(np.unique(mask)) - {0} for mask in clip.masks]
    turn = round(TURN_SECONDS * 5)  # 9.6 frames, so the 10th frame still belongs to the first turn
    assert len(set(classes[:turn])) == 1 and classes[0] and classes[turn] != classes[0]
    assert not np.array_equal(clip.frames[0], clip.frames[1])  # it moves
    with pytest.raises(ValueError, match="less than one frame"):
        compose_clip(scenes(**settings), seconds=0.01, fps=5.0)
