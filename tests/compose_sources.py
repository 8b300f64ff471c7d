"""Made sources for ``prepare_data.py compose``: COCO, ESC-50 and FSD50K layouts, plain folders."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import soundfile
from pycocotools import mask as run_lengths

#: Width and height of made photographs, px.
SIZE = 160, 120
BOX = 40, 30, 60, 50  # left, top, width and height of what they show
RATE = 16000


def picture(seed: int) -> np.ndarray:
    """A smooth picture of its own, (120, 160, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    return cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC)


def mask(*numbers: int) -> np.ndarray:
    """Instances side by side within ``BOX``, (120, 160)."""
    left, top, width, height = BOX
    drawn = np.zeros(SIZE[::-1], np.uint8)
    for place, number in enumerate(numbers):
        part = width // len(numbers)
        drawn[top : top + height, left + place * part : left + (place + 1) * part] = number
    return drawn


def sound(seed: int, seconds: float = 1.0) -> np.ndarray:
    """A recording of its own: bursts of coloured noise, (L,)."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(int(RATE * seconds))
    colour = np.convolve(noise, rng.standard_normal(6), "same")
    loudness = np.repeat(rng.uniform(0.05, 1, 20), -(-len(noise) // 20))[: len(noise)]
    made = colour * loudness
    return (0.5 * made / np.abs(made).max()).astype(np.float32)


def save(path: Path, image: np.ndarray, *options: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image, options)
    return path


def save_sound(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)
    return path


def save_csv(path: Path, *rows: Sequence[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def make_photos(root: Path, classes: Iterable[str], number: int = 6, seed: int = 0) -> Path:
    """A folder of photographs with masks a class."""
    for name in classes:
        for take in range(number):
            seed += 1
            save(root / name / f"{name}{take}.jpg", picture(seed))
            save(root / name / f"{name}{take}.png", mask(1, 2))
    return root


def make_sounds(root: Path, classes: Iterable[str], number: int = 6, seed: int = 500) -> Path:
    """A folder of recordings a class."""
    for name in classes:
        for take in range(number):
            seed += 1
            save_sound(root / name / f"{name}{take}.wav", sound(seed))
    return root


def polygon(left: int, top: int, width: int, height: int) -> list[float]:
    right, bottom = left + width, top + height
    return [left, top, right, top, right, bottom, left, bottom]


def annotation(image: int, category: int, segmentation: Any, **more: Any) -> dict[str, Any]:
    return dict(image_id=image, category_id=category, segmentation=segmentation, iscrowd=0) | more


def uncompressed(drawn: np.ndarray) -> dict[str, Any]:
    """Run lengths of a mask as COCO writes crowds, by hand: down the columns, 0 first."""
    flat = drawn.T.ravel() > 0
    counts, last = [0], False
    for value in flat.tolist():
        if value != last:
            counts.append(0)
            last = value
        counts[-1] += 1
    return dict(size=[*drawn.shape], counts=counts)


def compressed(drawn: np.ndarray) -> dict[str, Any]:
    runs = run_lengths.encode(np.asfortranarray(drawn))
    return dict(size=[*drawn.shape], counts=runs["counts"].decode())


def make_coco(
    root: Path, annotations: Sequence[dict[str, Any]], categories: Sequence[str], **more: Any
) -> tuple[Path, Path]:
    """instances.json and its folder of images; images are those of the annotations."""
    numbers = sorted({one["image_id"] for one in annotations})
    for number in numbers:
        save(root / "images" / f"{number:012d}.jpg", picture(1000 + number))
    content = dict(
        images=[
            dict(id=n, file_name=f"{n:012d}.jpg", width=SIZE[0], height=SIZE[1], license=1)
            for n in numbers
        ],
        annotations=[dict(one, id=i) for i, one in enumerate(annotations, start=1)],
        categories=[dict(id=i, name=name) for i, name in enumerate(categories, start=1)],
        licenses=[dict(id=1, name="Attribution License", url="https://cc/by/2.0/")],
    )
    path = root / "instances.json"
    path.write_text(json.dumps(content | more))
    return path, root / "images"


def make_esc50(root: Path, rows: Sequence[tuple[str, str, str]]) -> Path:
    """(filename, category, src_file) each; every file another recording."""
    header = ("filename", "fold", "target", "category", "esc10", "src_file", "take")
    for seed, (name, _, _) in enumerate(rows, start=2000):
        save_sound(root / "audio" / name, sound(seed))
    lines = [(n, 1, 0, c, str(c == "dog"), s, "A") for n, c, s in rows]
    save_csv(root / "meta" / "esc50.csv", header, *lines)
    return root


def make_fsd50k(
    root: Path, dev: Sequence[tuple[str, str, str]], evaluation: Sequence[tuple[str, str]]
) -> Path:
    """(fname, labels, split) of the development set, (fname, labels) of the other."""
    truth = root / "FSD50K.ground_truth"
    rows = [(name, labels, "/m/x", split) for name, labels, split in dev]
    save_csv(truth / "dev.csv", ("fname", "labels", "mids", "split"), *rows)
    rows = [(name, labels, "/m/x") for name, labels in evaluation]
    save_csv(truth / "eval.csv", ("fname", "labels", "mids"), *rows)
    for seed, (part, name) in enumerate(
        [("dev", one[0]) for one in dev] + [("eval", one[0]) for one in evaluation], start=3000
    ):
        save_sound(root / f"FSD50K.{part}_audio" / f"{name}.wav", sound(seed))
    return root
