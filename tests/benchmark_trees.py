"""Small made trees of the benchmarks, in the layouts in which they are distributed."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from projects.cpm_avs.datasets.benchmarks.class_names import AVSS_CLASSES
from projects.cpm_avs.datasets.palette import voc_palette

SIZE = (24, 32)  # height and width of the made frames


def write_csv(path: Path, *rows: Sequence[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def write_frame(path: Path, seed: int = 0, size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_mask(path: Path, value: int, size: tuple[int, int] = SIZE) -> Path:
    """A mask whose upper left quarter holds ``value``."""
    mask = np.zeros(size, np.uint8)
    mask[: size[0] // 2, : size[1] // 2] = value
    return write_mask_array(path, mask)


def write_mask_array(path: Path, mask: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)
    return path


def write_sound(
    path: Path, seconds: float, *, rate: int = 16000, seed: int = 0, channels: int = 1
) -> Path:
    """White noise, so that every window differs from every other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * rate), channels))
    soundfile.write(path, samples, rate)
    return path


def make_s4(root: Path) -> Path:
    """A clip of each split; of the one for training only the first frame is labelled."""
    clips = [("t0", "dog_barking", "train"), ("v0", "race_car", "val"), ("e0", "race_car", "test")]
    rows = [(name, 0, category, split) for name, category, split in clips]
    write_csv(root / "s4_meta_data.csv", ("name", "start", "category", "split"), *rows)
    for name, category, split in clips:
        data, folder = root / "s4_data", Path(split, category)
        write_sound(data / "audio_wav" / folder / f"{name}.wav", 5.0)
        for k in range(1, 6):
            write_frame(data / "visual_frames" / folder / name / f"{name}_{k}.png", k)
            if split != "train" or k == 1:
                write_mask(data / "gt_masks" / folder / name / f"{name}_{k}.png", 255)
    return root


def make_ms3(root: Path) -> Path:
    """A clip of each split; the masks hold 45 where something sounds."""
    rows = [("t0", "train"), ("v0", "val"), ("e0", "test")]
    write_csv(root / "ms3_meta_data.csv", ("video_id", "split"), *rows)
    for name, split in rows:
        data = root / "ms3_data"
        write_sound(data / "audio_wav" / split / f"{name}.wav", 5.0)
        for k in range(1, 6):
            write_frame(data / "visual_frames" / name / f"{name}.mp4_{k}.png", k)
            write_mask(data / "gt_masks" / split / name / f"{name}_{k}.png", 45)
    return root


#: vid, uid, s_min, s_sec, a_obj, split, label
AVSS_ROWS = [
    ("a", "a_0", 0, 0, "dog", "train", "v1s"),
    ("b", "b_0", 0, 0, "man_guitar", "train", "v1m"),
    ("c", "c_0", 0, 0, "emergency-car", "test", "v1s"),
    ("d", "d_0", 0, 0, "man_woman", "test", "v2"),
]


def make_avss(root: Path, *, first_index: int = 1) -> Path:
    """Four clips; the upper left quarter of each mask is the first class of ``a_obj``."""
    header = ("vid", "uid", "s_min", "s_sec", "a_obj", "split", "label")
    write_csv(root / "metadata.csv", header, *AVSS_ROWS)
    label2idx = {name: k + first_index for k, name in enumerate(AVSS_CLASSES)}
    (root / "label2idx.json").write_text(json.dumps(label2idx))
    palette = np.array(voc_palette(len(AVSS_CLASSES)), np.uint8)
    for _, uid, _, _, a_obj, split, subset in AVSS_ROWS:
        folder, count = root / subset / uid, 10 if subset == "v2" else 5
        write_sound(folder / "audio.wav", float(count), rate=22050, channels=2)
        label = AVSS_CLASSES.index(a_obj.split("_")[0])
        for k in range(count):
            write_frame(folder / "frames" / f"{k}.jpg", k)
            if subset == "v1s" and split == "train" and k > 0:
                continue
            write_mask(folder / "labels_semantic" / f"{k}.png", label)
            mask = np.asarray(Image.open(folder / "labels_semantic" / f"{k}.png"))
            write_mask_array(folder / "labels_rgb" / f"{k}.png", palette[mask])
    return root


VPO_HEADER = (
    "img_Id", "ann_Ids", "cateName", "cateId", "vgg_file", "split", "audio_pos", "multi_instance",
)  # fmt: skip


def make_vpo(root: Path) -> Path:
    """SS: two objects. MS: an image of a car and an airplane. MSMI: that one and one of its own."""
    write_csv(
        root / "VPO/VPO-SS/vpo_ss_data_stereo.csv",
        VPO_HEADER,
        (25, 9, "dog", 18, "dog_10", "train", 0.25, 0),
        (25, 11, "cat", 17, "cat_10", "val", 0.75, 0),
    )
    for name, label, ann in (("dog", 18, 9), ("cat", 17, 11)):
        write_frame(root / f"VPO/VPO-SS/data/{name}/{25:012}.jpg", ann)
        write_mask(root / f"VPO/VPO-SS/mask/{name}/{25:012}_{ann:012}.png", label)
    car = (36, 1, "car", 3, "car_10", "train", 0.1, 0)
    airplane = (36, 2, "airplane", 5, "airplane_2", "train", 0.8, 0)
    dogs = (49, 3, "dog", 18, "dog_10", "test", 0.5, 1)
    write_csv(root / "VPO/VPO-MS/vpo_ms_data_stereo.csv", VPO_HEADER, car, airplane)
    write_csv(root / "VPO/VPO-MSMI/vpo_msmi_data_stereo.csv", VPO_HEADER, car, dogs, airplane)
    mask = np.zeros(SIZE, np.uint8)
    mask[:, :8], mask[:, 20:] = 3, 5
    write_mask_array(root / f"VPO/VPO-MS/mask/{36:012}.png", mask)
    write_frame(root / f"VPO/VPO-MS/data/{36:012}.jpg")
    write_mask(root / f"VPO/VPO-MSMI/mask/{49:012}.png", 18)
    write_frame(root / f"VPO/VPO-MSMI/data/{49:012}.jpg")
    audios = root / "vggsound_bench/VGGSound/audios"
    for seed, (name, seconds) in enumerate(
        (("dog_10", 10.0), ("cat_10", 10.0), ("car_10", 10.0), ("airplane_2", 2.0))
    ):
        write_sound(audios / f"{name}.wav", seconds, seed=seed)
    return root


def make_mixed_vpo(root: Path) -> Path:
    """The second layout: one folder per image, sounds mixed already, class indices in the masks."""
    write_csv(
        root / "vpo.csv",
        ("uid", "frame", "mask", "classes", "split", "type"),
        ("u0", "25.jpg", "25.png", "dog", "train", "VPO-SS"),
        ("u1", "36.jpg", "36.png", "car,airplane", "test", "VPO-MS"),
    )
    for uid, stem, label in (("u0", "25", 9), ("u1", "36", 5)):
        write_frame(root / uid / "frames" / f"{stem}.jpg")
        write_mask(root / uid / "labels_semantic" / f"{stem}.png", label)
        write_sound(root / uid / "mono_audio.wav", 10.0, seed=1)
        write_sound(root / uid / "stereo_audio.wav", 10.0, seed=2, channels=2)
    return root
