"""The photographs and recordings that scenes are composed from, decoded when they are needed."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...constants import SAMPLE_RATE
from ...errors import BadSampleError
from ...media.audio_functional import Waveform
from ...media.sound_io import load_waveform
from .index import Item

#: Level (root mean square) that every recording is brought to before its random gain.
REFERENCE_LEVEL = 0.08
#: Largest side of the outlines that scenes are planned with, px.
OUTLINE_SIDE = 64
ENERGY_HOP = 160  # samples, 10 ms
# An instance whose mask is smaller than this is no object to cut out, px.
_MIN_AREA = 64
_EDGE = 1.0  # px; standard deviation of the blur that makes a cut-out's edge soft
_KEPT = 512  # decoded files of each kind that a process keeps, some 200 MiB at 224 px
_REMEDY = "Restore the file, or make the set again: tools/prepare_data.py --help"


@dataclass(frozen=True)
class Cutout:
    """An object without its surroundings.

    Attributes:
        levels: The cut-out at full size, half, a quarter, ...; each (h, w, 4) float32 in [0, 1],
            colours (BGR) multiplied by the opacity in the last channel.
        outline: Opacity of the level that is at most ``OUTLINE_SIDE`` px, (h, w).
        opaque_share: Opaque pixels over the area of the bounding box.
    """

    levels: tuple[NDArray[np.float32], ...]
    outline: NDArray[np.float32]
    opaque_share: float

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


@dataclass(frozen=True)
class Recording:
    """A sound.

    Attributes:
        sound: (1, L), at ``REFERENCE_LEVEL`` where it is loudest.
        energy: Energy of the recording up to every ``ENERGY_HOP``-th sample.
    """

    sound: Waveform
    energy: NDArray[np.float64]


@dataclass(frozen=True)
class Photograph:
    """A whole photograph.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        instances: (H, W) uint8: number of the instance of the photograph's class, 0 none.
    """

    image: NDArray[np.uint8]
    instances: NDArray[np.uint8]


class Library:
    """What a split has of each class, by class index: class c is entry c - 1.

    Args:
        items: Photographs and recordings, those of a class together being its faces and voices.
        names: The classes in the order of their indices; None: those with photographs and
            recordings in alphabetical order, which alone are labelled, then those that are only
            seen (silent objects), then those that are only heard (off-screen sounds).
    """

    def __init__(self, items: Sequence[Item], names: Sequence[str] | None = None) -> None:
        seen: dict[str, list[Item]] = defaultdict(list)
        heard: dict[str, list[Item]] = defaultdict(list)
        for item in items:
            (seen if item.kind == "photo" else heard)[item.class_name].append(item)
        both = sorted(seen.keys() & heard.keys())
        rest = [*sorted(seen.keys() - heard.keys()), *sorted(heard.keys() - seen.keys())]
        self.names = tuple(names or (*both, *rest))
        self.num_labelled = len(names or both)
        self.photos = tuple(tuple(seen[name]) for name in self.names)
        self.sounds = tuple(tuple(heard[name]) for name in self.names)

    @property
    def visible(self) -> list[int]:
        """Indices of the classes that can be seen."""
        return [index for index, items in enumerate(self.photos, start=1) if items]

    @property
    def audible(self) -> list[int]:
        """Indices of the classes that can be heard."""
        return [index for index, items in enumerate(self.sounds, start=1) if items]

    @property
    def has_photographs(self) -> bool:
        """Whether scenes can be made on whole photographs."""
        return any(item.mask is not None for items in self.photos for item in items)

    def cutout(self, class_index: int, number: int) -> Cutout:
        """The object of a class's photograph."""
        item = self.photos[class_index - 1][number]
        return load_cutout(item.file, item.mask)

    def photograph(self, class_index: int, number: int) -> Photograph:
        """A class's photograph with its surroundings."""
        item = self.photos[class_index - 1][number]
        assert item.mask is not None
        return load_photograph(item.file, item.mask)

    def recording(self, class_index: int, number: int) -> Recording:
        """A class's recording."""
        return load_recording(self.sounds[class_index - 1][number].file)


@lru_cache(_KEPT)
def load_photograph(file: str, mask: str) -> Photograph:
    """Read a photograph and the mask that numbers its instances."""
    image = _read(file, cv2.IMREAD_COLOR)
    instances = _read(mask, cv2.IMREAD_UNCHANGED)
    if instances.ndim != 2 or instances.dtype != np.uint8 or instances.shape != image.shape[:2]:
        raise BadSampleError(
            mask,
            f"{instances.dtype} {instances.shape}, for a photograph of {image.shape[:2]}",
            "Give a PNG of one channel with 8 bits, as large as the photograph",
        )
    if not instances.any():
        raise BadSampleError(mask, "it marks no object", "Leave this photograph out of the index")
    return Photograph(np.asarray(image, np.uint8), np.asarray(instances, np.uint8))


@lru_cache(_KEPT)
def load_cutout(file: str, mask: str | None) -> Cutout:
    """Cut the largest instance out of its photograph, or read a cut-out as it is."""
    if mask is None:
        image = _read(file, cv2.IMREAD_UNCHANGED)
        if image.ndim != 3 or image.shape[2] != 4:
            raise BadSampleError(file, "the cut-out is no RGBA picture", _REMEDY)
        level: NDArray[np.float32] = np.asarray(image, np.float32) / np.float32(255)
    else:
        level = _cut(load_photograph(file, mask))
    level[..., :3] *= level[..., 3:]
    share = float((level[..., 3] > 0.5).mean())
    levels: list[NDArray[np.float32]] = [level]
    while min(level.shape[:2]) >= 16:
        size = (max(1, level.shape[1] // 2), max(1, level.shape[0] // 2))
        level = np.asarray(cv2.resize(level, size, interpolation=cv2.INTER_AREA), np.float32)
        levels.append(level)
    outline = next((one for one in levels if max(one.shape) <= OUTLINE_SIDE), levels[-1])[..., 3]
    return Cutout(tuple(levels), np.ascontiguousarray(outline), share)


def _cut(photograph: Photograph) -> NDArray[np.float32]:
    """The largest instance with a soft edge, (h, w, 4) BGRA in [0, 1], without empty margins."""
    areas = np.bincount(photograph.instances.ravel())
    number = int(areas[1:].argmax()) + 1
    mask = (photograph.instances == number).astype(np.float32)
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    # Inwards, so that nothing of the surroundings comes along.
    soft = cv2.GaussianBlur(cv2.erode(mask, np.ones((3, 3))), (0, 0), _EDGE)
    if areas[number] < _MIN_AREA or (soft > 0.5).sum() < _MIN_AREA / 2:
        soft = mask
    image = np.asarray(photograph.image, np.float32) / np.float32(255)
    cutout = np.dstack([image, soft])[top : top + height, left : left + width]
    return np.ascontiguousarray(cutout, np.float32)


@lru_cache(_KEPT)
def load_recording(file: str) -> Recording:
    """Read a recording and bring it to the reference level."""
    waveform = load_waveform(Path(file), sample_rate=SAMPLE_RATE)
    energy = _cumulative_energy(waveform)
    length = min(SAMPLE_RATE // 2, waveform.shape[1])  # pauses don't count
    loudest = float(np.sqrt((energy[length:] - energy[:-length]).max() / length))
    if loudest <= 0:
        raise BadSampleError(file, "it is silent", "Leave this recording out of the index")
    gain = REFERENCE_LEVEL / loudest
    return Recording(waveform * np.float32(gain), energy[::ENERGY_HOP] * gain**2)


def _cumulative_energy(waveform: Waveform) -> NDArray[np.float64]:
    return np.concatenate([[0.0], np.cumsum(np.square(waveform[0], dtype=np.float64))])


def _read(path: str, how: int) -> NDArray:
    image = cv2.imread(path, how) if Path(path).is_file() else None
    if image is None:
        raise BadSampleError(path, "the picture is missing or can't be read", _REMEDY)
    return np.asarray(image)
