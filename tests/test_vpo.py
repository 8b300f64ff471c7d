"""VPO in both layouts: items, lookup of COCO ids, panned mixtures; transforms of the benchmarks."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from benchmark_trees import (
    VPO_HEADER,
    make_mixed_vpo,
    make_vpo,
    write_csv,
    write_frame,
    write_mask,
    write_mask_array,
    write_sound,
)
from mmseg.registry import DATASETS, TRANSFORMS
from PIL import Image

import projects.cpm_avs  # noqa: F401
from projects.cpm_avs.datasets.benchmarks.benchmark_transforms import (
    LoadSoundMix,
    ResizeForProtocol,
)
from projects.cpm_avs.datasets.benchmarks.class_names import (
    COCO_ID_TO_NAME,
    COCO_LABEL_MAP,
    VPO_CLASSES,
)
from projects.cpm_avs.errors import BadSampleError

pytestmark = pytest.mark.usefixtures("mmseg_scope")


def build(root: Path, subset: str, split: str, *, channels: int = 2, flip: bool = False, **kwargs):
    pipeline = [
        dict(type="LoadAVSFrame"),
        dict(type="LoadAVSMask"),
        dict(type="LoadSoundMix", channels=channels),
        dict(type="PackAVSInputs"),
    ]
    if flip:
        pipeline.insert(-1, dict(type="AVSRandomFlip", prob=1.0))
    settings = dict(type="VPODataset", data_root=str(root), subset=subset, split=split)
    return DATASETS.build(settings | dict(pipeline=pipeline, test_mode=True) | kwargs)


def ids(dataset) -> list[str]:
    return [dataset.get_data_info(k)["clip_id"] for k in range(len(dataset))]


def sound(root: Path, name: str) -> np.ndarray:
    samples, rate = soundfile.read(root / f"vggsound_bench/VGGSound/audios/{name}.wav")
    assert rate == 16000
    return samples.astype(np.float32)


# ---- classes


def test_coco_ids_meet_the_classes_of_the_same_name():
    assert len(VPO_CLASSES) == 22 and len(COCO_ID_TO_NAME) == 21
    assert VPO_CLASSES[1] == "airplane" and VPO_CLASSES[14] == "male" and VPO_CLASSES[21] == "zebra"
    named = {3: 5, 5: 1, 77: 7, 92: 14, 93: 11, 94: 2, 24: 21, 37: 19, 0: 0}
    assert {key: COCO_LABEL_MAP[key] for key in named} == named
    assert sorted(COCO_LABEL_MAP.values()) == list(range(22))


def test_cars_do_not_turn_into_airplanes(tmp_path):
    """COCO's car is 3 -> 5 and its airplane 5 -> 1; a renaming in place makes both airplanes."""
    gt = build(make_vpo(tmp_path), "vpo-ms", "train")[0]["data_samples"].gt_sem_seg.data[0]
    car, airplane = VPO_CLASSES.index("car"), VPO_CLASSES.index("airplane")
    assert (gt[:, :8] == car).all() and (gt[:, 20:] == airplane).all() and (gt[:, 8:20] == 0).all()


@pytest.mark.parametrize("chosen", [("background", "car"), ("background", "zebra", "airplane")])
def test_coco_ids_meet_chosen_classes(tmp_path, chosen):
    dataset = build(make_vpo(tmp_path), "vpo-ms", "train", metainfo=dict(classes=chosen))
    gt = dataset[0]["data_samples"].gt_sem_seg.data[0]
    expected = {name: chosen.index(name) if name in chosen else 255 for name in VPO_CLASSES}
    assert (gt[:, :8] == expected["car"]).all() and (gt[:, 20:] == expected["airplane"]).all()
    assert (gt[:, 8:20] == 0).all()


# ---- items


def test_items_of_each_subset(tmp_path):
    root = make_vpo(tmp_path)
    dog, cat = f"{25:012}_{9:012}", f"{25:012}_{11:012}"
    assert ids(build(root, "vpo-ss", "train")) == [dog]
    assert ids(build(root, "vpo-ss", "test")) == [cat]  # its csv says val
    assert ids(build(root, "vpo-ms", "train")) == [f"{36:012}"]
    assert ids(build(root, "vpo-msmi", "train")) == [f"{36:012}"]
    assert ids(build(root, "vpo-msmi", "test")) == [f"{49:012}"]


def test_msmi_takes_single_instance_images_from_the_ms_folder(tmp_path):
    root = make_vpo(tmp_path)
    info = build(root, "vpo-msmi", "train").get_data_info(0)
    assert info["img_path"] == str(root / f"VPO/VPO-MS/data/{36:012}.jpg")
    assert info["seg_map_path"] == str(root / f"VPO/VPO-MS/mask/{36:012}.png")
    assert [Path(path).stem for path, *_ in info["sounds"]] == ["car_10", "airplane_2"]
    info = build(root, "vpo-msmi", "test").get_data_info(0)
    assert info["img_path"] == str(root / f"VPO/VPO-MSMI/data/{49:012}.jpg")
    assert build(root, "vpo-msmi", "test")[0]["data_samples"].gt_sem_seg.data.max() == 9


def test_the_index_tells_where_each_class_sounds(tmp_path):
    root = make_vpo(tmp_path)
    numbers = {name: VPO_CLASSES.index(name) for name in ("car", "airplane", "dog")}
    places = build(root, "vpo-ms", "train").get_data_info(0)["sound_positions"]
    assert places == [(numbers["car"], 0.1), (numbers["airplane"], 0.8)]
    chosen = build(root, "vpo-ms", "train", metainfo=dict(classes=("background", "airplane")))
    assert chosen.get_data_info(0)["sound_positions"] == [(1, 0.8)]
    packed = build(root, "vpo-msmi", "test")[0]["data_samples"]
    assert packed.sound_positions == [(numbers["dog"], 0.5)]


def test_objects_of_one_image_are_items_of_their_own_in_ss(tmp_path):
    root = make_vpo(tmp_path)
    item = build(root, "vpo-ss", "test")[0]
    assert set(item["data_samples"].gt_sem_seg.data.unique().tolist()) == {0, 6}
    assert item["data_samples"].img_path.endswith(f"data/cat/{25:012}.jpg")


def test_a_position_that_is_none_is_refused(tmp_path):
    root = make_vpo(tmp_path)
    index = root / "VPO/VPO-MS/vpo_ms_data_stereo.csv"
    write_csv(index, VPO_HEADER, (36, 1, "car", 3, "car_10", "train", "left", 0))
    with pytest.raises(BadSampleError, match=r"car_10\.wav: its audio_pos.*prepare_data.py check"):
        build(root, "vpo-ms", "train")[0]
    mono = build(root, "vpo-ms", "train", channels=1)[0]["inputs"]["waveform"]
    assert mono.shape == (1, 48000)  # it places nothing
    with pytest.raises(ValueError, match="vpo-ss, vpo-ms, vpo-msmi"):
        build(root, "vpo-xs", "train")


def test_cells_of_the_header_may_be_padded(tmp_path):
    root = make_vpo(tmp_path)
    index = root / "VPO/VPO-MS/vpo_ms_data_stereo.csv"
    index.write_text("\n" + index.read_text().replace("img_Id,", " img_Id ,"))
    assert ids(build(root, "vpo-ms", "train")) == [f"{36:012}"]


# ---- sound


def test_sounds_of_an_image_are_centred_repeated_panned_and_summed(tmp_path):
    """Brute force: 10 s from sample 56000 on; 2 s of 3 s is followed by its own first second."""
    root = make_vpo(tmp_path)
    car = sound(root, "car_10")[56000:104000]
    short = sound(root, "airplane_2")
    airplane = np.concatenate([short, short[:16000]])
    heard = build(root, "vpo-ms", "train")[0]["inputs"]["waveform"].numpy()
    expected = [car * 0.9 + airplane * 0.2, car * 0.1 + airplane * 0.8]
    np.testing.assert_allclose(heard, expected, atol=1e-6)
    mono = build(root, "vpo-ms", "train", channels=1)[0]["inputs"]["waveform"].numpy()
    np.testing.assert_allclose(mono, [car + airplane], atol=1e-6)


def test_a_clip_just_below_three_seconds_is_repeated_from_its_beginning(tmp_path):
    path = write_sound(tmp_path / "a.wav", 2.9)
    samples = soundfile.read(path, dtype="float32")[0]
    heard = LoadSoundMix().transform(dict(sounds=[(str(path), 0.5, None)]))["waveform"][0]
    np.testing.assert_array_equal(heard, np.concatenate([samples, samples])[:48000])


def test_other_rates_are_resampled(tmp_path):
    path = write_sound(tmp_path / "a.wav", 10.0, rate=22050, channels=2)
    loaded = LoadSoundMix(channels=2).transform(dict(sounds=[(str(path), 0.25, None)]))
    assert loaded["waveform"].shape == (2, 48000) and loaded["sample_rate"] == 16000
    np.testing.assert_allclose(loaded["waveform"][0], 3 * loaded["waveform"][1], rtol=1e-5)


@pytest.mark.parametrize("subset", ["vpo-ss", "vpo-ms"])
def test_a_flip_swaps_the_ears_in_every_subset(tmp_path, subset):
    root = make_vpo(tmp_path)
    plain = build(root, subset, "train")[0]["inputs"]
    flipped = build(root, subset, "train", flip=True)[0]["inputs"]
    np.testing.assert_array_equal(flipped["img"], plain["img"].flip(-1))
    np.testing.assert_array_equal(flipped["waveform"], plain["waveform"].flip(0))


def test_offscreen_sounds_replace_all_sounds_of_the_image(tmp_path):
    root = make_vpo(tmp_path)
    index = root / "VPO/VPO-SS/vpo_ss_data_stereo.csv"
    index.write_text(index.read_text().replace("train", "test"))
    with pytest.raises(ValueError, match="no item has a sound"):  # both objects are in one picture
        build(root, "vpo-ss", "test", audio_condition="offscreen")[0]
    with index.open("a") as file:
        file.write("36,1,car,3,car_10,test,0.1,0\n")
    write_mask(root / f"VPO/VPO-SS/mask/car/{36:012}_{1:012}.png", 3)
    write_frame(root / f"VPO/VPO-SS/data/car/{36:012}.jpg")
    plain = build(root, "vpo-ss", "test")
    swapped = build(root, "vpo-ss", "test", audio_condition="offscreen")
    for idx in range(2):
        heard = swapped[idx]["inputs"]["waveform"]
        np.testing.assert_array_equal(heard, plain[2]["inputs"]["waveform"])
    assert swapped.offscreen_donor(2) in (0, 1)


# ---- the second layout


def test_second_layout(tmp_path):
    root = make_mixed_vpo(tmp_path)
    train = build(root, "vpo-ss", "train", ann_file="vpo.csv")
    assert ids(train) == ["u0/25"]
    with pytest.raises(ValueError, match="no item of split 'train'"):
        build(root, "vpo-ms", "train", ann_file="vpo.csv")
    test = build(root, "vpo-ms", "test", ann_file="vpo.csv")
    assert set(test[0]["data_samples"].gt_sem_seg.data.unique().tolist()) == {0, 5}
    stereo = soundfile.read(root / "u1/stereo_audio.wav", dtype="float32")[0].T[:, 56000:104000]
    np.testing.assert_array_equal(test[0]["inputs"]["waveform"], stereo)
    mono = soundfile.read(root / "u1/mono_audio.wav", dtype="float32")[0][56000:104000]
    heard = build(root, "vpo-ms", "test", ann_file="vpo.csv", channels=1)[0]["inputs"]["waveform"]
    np.testing.assert_array_equal(heard, [mono])


def test_coco_ids_mean_nothing_in_the_second_layout(tmp_path):
    root = make_mixed_vpo(tmp_path)
    write_mask_array(root / "u0/labels_semantic/25.png", np.full((24, 32), 77, np.uint8))
    with pytest.raises(ValueError, match="77"):
        build(root, "vpo-ss", "train", ann_file="vpo.csv")[0]


# ---- transforms


def frame_results() -> dict:
    img = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    mask = np.zeros((30, 40), np.uint8)
    mask[:15] = 3
    return dict(img=img, gt_seg_map=mask, seg_fields=["gt_seg_map"], ori_shape=(30, 40))


def test_the_protocol_size_counts_as_the_original_one():
    results = ResizeForProtocol(scale=(16, 12))(frame_results())
    assert results["img"].shape[:2] == results["gt_seg_map"].shape == (12, 16)
    assert results["ori_shape"] == results["img_shape"] == (12, 16)
    assert TRANSFORMS.get("ResizeForProtocol") is ResizeForProtocol


def test_the_protocol_resizes_as_the_benchmarks_scripts_do():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (37, 61, 3), np.uint8)
    mask = rng.integers(0, 4, (37, 61), np.uint8)
    results = dict(img=image, img_shape=(37, 61), gt_seg_map=mask, seg_fields=["gt_seg_map"])
    resized = ResizeForProtocol(scale=(16, 12))(results)
    expected = Image.fromarray(image).resize((16, 12), Image.Resampling.BILINEAR)
    assert np.array_equal(resized["img"], expected)
    expected = Image.fromarray(mask).resize((16, 12), Image.Resampling.NEAREST)
    assert np.array_equal(resized["gt_seg_map"], expected)
