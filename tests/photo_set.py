"""A made set of photographs and recordings, as ``ComposedDataset`` reads it."""

import atexit
import csv
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import soundfile

from projects.cpm_avs.datasets.composed.index import COLUMNS

#: Classes with photographs, and of these those with recordings; "wind" is only heard.
SEEN, HEARD = ("bike", "cat", "cow", "dog"), ("cat", "cow", "dog", "wind")
SPLITS = ("train", "val", "test")
PER_SPLIT = 2


def write_photo_set(root: Path, seen: Sequence[str] = SEEN, heard: Sequence[str] = HEARD) -> Path:
    """Two photographs and two recordings a class and split; every file is another one.

    Photographs are 60 x 80 px of one grey with a disc of 28 px in the class's colour, and a smaller
    one that is instance 2.
    """
    root.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, name in enumerate(seen):
        for split in SPLITS:
            for take in range(PER_SPLIT):
                stem = f"{name}-{split}-{take}"
                image = np.full((60, 80, 3), 60 + 40 * take, np.uint8)
                mask = np.zeros((60, 80), np.uint8)
                cv2.circle(mask, (45 - 10 * take, 32), 14, 1, -1)
                cv2.circle(mask, (72, 8), 5, 2, -1)
                image[mask > 0] = (50 * number % 256, 220 - 30 * take, 255 - 50 * number % 256)
                cv2.imwrite(str(root / f"{stem}.png"), image)
                cv2.imwrite(str(root / f"{stem}-mask.png"), mask)
                files = f"{stem}.png", f"{stem}-mask.png"
                rows.append(["photo", name, split, *files, f"album-{take}", "CC0"])
    for number, name in enumerate(heard):
        for split in SPLITS:
            for take in range(PER_SPLIT):
                stem = f"{name}-{split}-{take}.wav"
                time = np.arange(24000) / 16000
                pitch = 200 * (number + 1) + 17 * take + 5 * SPLITS.index(split)
                soundfile.write(root / stem, 0.5 * np.sin(2 * np.pi * pitch * time), 16000)
                rows.append(["sound", name, split, stem, "", f"tape-{take}", "CC0"])
    with (root / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return root


@cache
def shared_photo_set(num_classes: int) -> str:
    """A made set with as many classes, background among them; the same folder for all tests."""
    root = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    names = [f"class{number:02d}" for number in range(1, num_classes)]
    return str(write_photo_set(root, seen=[*names, "silent"], heard=names))
