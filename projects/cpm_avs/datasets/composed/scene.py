"""Draws and mixes the scenes of AVS-Stamps that ``plan`` has planned."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...media.audio_functional import Waveform, pan_stereo
from .backgrounds import draw_background
from .library import ENERGY_HOP, Stamp
from .placement import PlacedObject, affine
from .plan import Source

#: A stretch of a recording is heard only if it has this share of the loudest stretch's energy.
_MIN_ENERGY_SHARE = 0.3
_PEAK = 0.99


@dataclass(frozen=True)
class Picture:
    """A drawn scene.

    Attributes:
        image: (S, S, 3) uint8 BGR.
        owner: Which object a pixel shows, (S, S) uint8: 0 none, else its number from 1.
    """

    image: NDArray[np.uint8]
    owner: NDArray[np.uint8]

    def class_map(self, objects: Sequence[PlacedObject], *, all_visible: bool) -> NDArray[np.uint8]:
        """Class of each pixel of what sounds, or of all objects: (S, S), 0 background."""
        classes = [o.class_index if o.sounds or all_visible else 0 for o in objects]
        return np.array([0, *classes], dtype=np.uint8)[self.owner]


def draw_picture(
    objects: Sequence[PlacedObject],
    stamps: Sequence[Stamp],
    *,
    split: str,
    background_seed: tuple[int, ...],
    size: int,
) -> Picture:
    """Draw objects, back to front, on a background of the split's families."""
    image = draw_background(np.random.default_rng(background_seed), split, size)
    owner = np.zeros((size, size), dtype=np.uint8)
    for number, item in enumerate(objects, start=1):
        _draw_object(image, owner, item, stamps[item.class_index - 1], number)
    return Picture(np.rint(image.clip(0, 1) * 255).astype(np.uint8), owner)


def _draw_object(
    image: NDArray[np.float32],
    owner: NDArray[np.uint8],
    item: PlacedObject,
    stamp: Stamp,
    number: int,
) -> None:
    """Draw one object into ``image`` and ``owner``, touching only the square it lies in."""
    side = image.shape[0]
    scale = item.scale(stamp, side)
    source, scale_left = stamp.level_for(scale)
    x, y = item.center[0] * side, item.center[1] * side
    reach = scale * np.hypot(*stamp.size) / 2 + 1
    left, right = max(0, int(x - reach)), min(side, int(x + reach) + 1)
    top, bottom = max(0, int(y - reach)), min(side, int(y + reach) + 1)
    matrix = affine(item, source, scale_left, (x - left, y - top))
    extent = (right - left, bottom - top)
    layer = np.asarray(cv2.warpAffine(source, matrix, extent, flags=cv2.INTER_LINEAR), np.float32)
    color, opacity = layer[..., :3], layer[..., 3:]
    region = image[top:bottom, left:right]
    region *= 1 - opacity
    region += color * np.array(item.light, dtype=np.float32)
    owner[top:bottom, left:right][opacity[..., 0] > 0.5] = number


def mix_sources(
    sources: Sequence[Source], stamps: Sequence[Stamp], *, num_samples: int, channels: int
) -> Waveform:
    """Sum of the sources, (channels, num_samples), turned down where it would clip."""
    mixture = np.zeros((channels, num_samples), dtype=np.float32)
    for source in sources:
        stretch = cut_stretch(stamps[source.class_index - 1], source.phase, num_samples)
        sound = stretch * np.float32(source.gain)
        mixture += pan_stereo(sound, source.position) if channels == 2 else sound
    peak = float(np.abs(mixture).max())
    return mixture * np.float32(_PEAK / peak) if peak > _PEAK else mixture


def cut_stretch(stamp: Stamp, phase: float, num_samples: int) -> Waveform:
    """A stretch of the recording, (1, num_samples), picked by ``phase`` from 0 to 1.

    A long recording is cropped where it is loud enough, a short one repeats from somewhere on.
    """
    total = stamp.sound.shape[1]
    if total <= num_samples:
        turned = np.roll(stamp.sound[0], -int(phase * total))
        return np.resize(turned, (1, num_samples))
    steps = -(-num_samples // ENERGY_HOP)
    if steps < len(stamp.energy):
        stretches = stamp.energy[steps:] - stamp.energy[:-steps]
        loud = np.flatnonzero(stretches >= _MIN_ENERGY_SHARE * stretches.max())
    else:  # less than one step longer than the window
        loud = np.zeros(1, dtype=np.int64)
    start = min(int(loud[int(phase * len(loud))]) * ENERGY_HOP, total - num_samples)
    return stamp.sound[:, start : start + num_samples]
