"""A small audio-visual set on disk: coloured frames, index masks, tones."""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from projects.cpm_avs.datasets.avs_dataset import AVSDataset

HEIGHT, WIDTH = 24, 32
RATE = 16000
LOAD = [dict(type="LoadAVSFrame"), dict(type="LoadAVSMask"), dict(type="LoadAudioWindow")]
PIPELINE = [*LOAD, dict(type="PackAVSInputs")]
AUGMENT = [
    *LOAD,
    dict(type="RandomResize", scale=(64, 64), ratio_range=(0.5, 2.0)),
    dict(type="RandomCrop", crop_size=(16, 16)),
    dict(type="AVSRandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackAVSInputs"),
]


class ToySet(AVSDataset):
    """Item i shows and sounds class i % 3 + 1 as a square and a tone."""

    METAINFO = dict(
        classes=("background", "a", "b", "c"),
        palette=[[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]],
    )

    def __init__(self, *, root: Path, count: int = 6, known_classes: bool = True, **kwargs: Any):
        self.root, self.count, self.known_classes = root, count, known_classes
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        return [
            self.entry(
                img_path=str(self.root / f"{i}.jpg"),
                seg_map_path=str(self.root / f"{i}.png"),
                audio_path=str(self.root / f"{i}.wav"),
                audio_start=0.25,
                clip_id=str(i),
                frame_index=0,
                subset="toy",
                sound_classes=[i % 3 + 1] if self.known_classes else None,
            )
            for i in range(self.count)
        ]


def write_toy_files(root: Path, count: int = 6) -> Path:
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)).save(root / f"{i}.jpg")
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[4:16, 4:20] = i % 3 + 1
        Image.fromarray(mask).save(root / f"{i}.png")
        time = np.arange(2 * RATE) / RATE
        tone = (0.1 + 0.02 * i) * np.sin(2 * np.pi * 200 * (i + 1) * time)
        soundfile.write(root / f"{i}.wav", np.stack([tone, -tone / 2], 1), RATE, subtype="FLOAT")
    return root
