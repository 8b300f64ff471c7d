"""The objects of AVS-Stamps: cut-outs and recordings, decoded once a process."""

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...media.audio_functional import SAMPLE_RATE, Waveform, load_waveform
from ...structures import BadSampleError

#: Level (root mean square) that every recording is brought to before its random gain.
REFERENCE_LEVEL = 0.08
#: Largest side of the outlines that scenes are planned with, px.
OUTLINE_SIDE = 64
ENERGY_HOP = 160  # samples, 10 ms
#: The built-in data lie in the repository, whatever folder a tool is started in.
BUILT_IN = str(Path(__file__).resolve().parents[4] / "data" / "stamps")
_REMEDY = "Restore data/stamps from the repository, or see: tools/prepare_data.py stamps --help"


@dataclass(frozen=True)
class Stamp:
    """One class: a photograph and a recording.

    Attributes:
        name: The class.
        levels: The cut-out at full size, half, a quarter, ...; each (h, w, 4) float32 in [0, 1],
            colours (BGR) multiplied by the opacity in the last channel.
        outline: Opacity of the level that is at most ``OUTLINE_SIDE`` px, (h, w).
        opaque_share: Opaque pixels over the area of the bounding box.
        sound: The recording, (1, L), at ``REFERENCE_LEVEL`` where it is loudest.
        energy: Energy of the recording up to every ``ENERGY_HOP``-th sample.
    """

    name: str
    levels: tuple[NDArray[np.float32], ...]
    outline: NDArray[np.float32]
    opaque_share: float
    sound: Waveform
    energy: NDArray[np.float64]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the cut-out at full size, px."""
        height, width = self.levels[0].shape[:2]
        return width, height

    def level_for(self, scale: float) -> tuple[NDArray[np.float32], float]:
        """The level to draw at ``scale`` from, and the scale that is left to apply to it."""
        depth = 0
        while depth + 1 < len(self.levels) and scale <= 0.5 ** (depth + 1):
            depth += 1
        level = self.levels[depth]
        return level, scale * self.levels[0].shape[0] / level.shape[0]


@lru_cache(maxsize=4)
def load_library(data_root: str) -> tuple[Stamp, ...]:
    """All stamps in the order of their class indices: class c is entry c - 1."""
    root = Path(data_root)
    index = root / "index.csv"
    if not index.is_file():
        raise BadSampleError(index, "the index of the built-in data is missing", _REMEDY)
    with index.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return tuple(
        _load_stamp(row["name"], root / row["cutout"], root / row["sound"]) for row in rows
    )


def _load_stamp(name: str, cutout: Path, sound: Path) -> Stamp:
    image = cv2.imread(str(cutout), cv2.IMREAD_UNCHANGED) if cutout.is_file() else None
    if image is None or image.ndim != 3 or image.shape[2] != 4:
        raise BadSampleError(cutout, "the cut-out is missing or is no RGBA picture", _REMEDY)
    level: NDArray[np.float32] = np.asarray(image, np.float32) / np.float32(255)
    level[..., :3] *= level[..., 3:]
    share = float((level[..., 3] > 0.5).mean())
    levels: list[NDArray[np.float32]] = [level]
    while min(level.shape[:2]) >= 16:
        size = (max(1, level.shape[1] // 2), max(1, level.shape[0] // 2))
        level = np.asarray(cv2.resize(level, size, interpolation=cv2.INTER_AREA), np.float32)
        levels.append(level)
    outline = next(level for level in levels if max(level.shape) <= OUTLINE_SIDE)[..., 3]
    waveform = load_waveform(sound, sample_rate=SAMPLE_RATE)
    energy = _cumulative_energy(waveform)
    length = min(SAMPLE_RATE // 2, waveform.shape[1])  # pauses don't count
    loudest = float(np.sqrt((energy[length:] - energy[:-length]).max() / length))
    gain = REFERENCE_LEVEL / loudest
    return Stamp(
        name=name,
        levels=tuple(levels),
        outline=np.ascontiguousarray(outline),
        opaque_share=share,
        sound=waveform * np.float32(gain),
        energy=energy[::ENERGY_HOP] * gain**2,
    )


def _cumulative_energy(waveform: Waveform) -> NDArray[np.float64]:
    return np.concatenate([[0.0], np.cumsum(np.square(waveform[0], dtype=np.float64))])
