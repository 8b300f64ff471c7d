"""Draws and mixes the scenes that ``plan`` has planned."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...media.audio_functional import Waveform, delay_stereo, pan_stereo
from .backdrop import Backdrop
from .backgrounds import draw_background
from .library import ENERGY_HOP, Library, Recording
from .placement import PlacedObject, affine
from .plan import ScenePlan, Source
from .warp import warp_affine

#: A stretch of a recording is heard only if it has this share of the loudest stretch's energy.
_MIN_ENERGY_SHARE = 0.3
_PEAK = 0.99
#: How a sound (1, L) at a place from 0 to 1 becomes two channels.
STEREO = {"level": pan_stereo, "delay": delay_stereo}
#: Smallest and largest factor that brings an object to the brightness of its surroundings.
_MATCH = 0.6, 1.6


@dataclass(frozen=True)
class Picture:
    """A drawn scene.

    Attributes:
        image: (S, S, 3) uint8 BGR.
        owner: Which thing of the scene a pixel shows, (S, S) uint8: 0 none, else its number from 1.
    """

    image: NDArray[np.uint8]
    owner: NDArray[np.uint8]

    def class_map(
        self,
        things: Sequence[PlacedObject | Backdrop],
        *,
        all_visible: bool,
        num_labelled: int,
    ) -> NDArray[np.uint8]:
        """Class of each pixel of what sounds, or of all that is seen: (S, S), 0 background.

        Classes behind the first ``num_labelled``, which never sound, are background.
        """
        classes = [
            thing.class_index
            if (thing.sounds or all_visible) and thing.class_index <= num_labelled
            else 0
            for thing in things
        ]
        return np.array([0, *classes], dtype=np.uint8)[self.owner]


def draw_picture(plan: ScenePlan, library: Library, *, split: str, size: int) -> Picture:
    """Draw a scene, back to front, on its photograph or on a background of the split's families."""
    owner = np.zeros((size, size), dtype=np.uint8)
    if plan.backdrop is None:
        image = draw_background(np.random.default_rng(plan.background_seed), split, size)
        brightness = None
    else:
        image, shown = plan.backdrop.draw(library, size)
        owner[shown] = len(plan.things)
        brightness = float(image.mean())
    for number, item in enumerate(plan.objects, start=1):
        _draw_object(image, owner, item, library, number, brightness)
    return Picture(np.rint(image.clip(0, 1) * 255).astype(np.uint8), owner)


def _draw_object(
    image: NDArray[np.float32],
    owner: NDArray[np.uint8],
    item: PlacedObject,
    library: Library,
    number: int,
    brightness: float | None,
) -> None:
    """Draw one object into ``image`` and ``owner``, touching only the square it lies in.

    Where the mean ``brightness`` of a photograph is given, it comes half-way to it.
    """
    side = image.shape[0]
    cutout = library.cutout(item.class_index, item.photo)
    scale = item.scale(cutout, side)
    source, scale_left = cutout.level_for(scale)
    x, y = item.center[0] * side, item.center[1] * side
    reach = scale * np.hypot(*cutout.size) / 2 + 1
    left, right = max(0, int(x - reach)), min(side, int(x + reach) + 1)
    top, bottom = max(0, int(y - reach)), min(side, int(y + reach) + 1)
    matrix = affine(item, source, scale_left, (x - left, y - top))
    extent = (right - left, bottom - top)
    layer = warp_affine(source, matrix, extent)
    color, opacity = layer[..., :3], layer[..., 3:]
    light = np.array(item.light, dtype=np.float32)
    if brightness is not None:
        own = float(color.sum() / max(3 * opacity.sum(), 1))
        light = light * np.float32(np.clip((brightness / max(own, 0.01)) ** 0.5, *_MATCH))
    region = image[top:bottom, left:right]
    region *= 1 - opacity
    region += color * light
    owner[top:bottom, left:right][opacity[..., 0] > 0.5] = number


def mix_sources(
    sources: Sequence[Source],
    library: Library,
    *,
    num_samples: int,
    channels: int,
    stereo: str = "level",
) -> Waveform:
    """Sum of the sources, (channels, num_samples), turned down where it would clip.

    Args:
        sources: What is heard.
        library: Of its recordings.
        num_samples: L.
        channels: 1, or 2 with every source at its place.
        stereo: By what two channels tell it, of ``STEREO``.
    """
    mixture = np.zeros((channels, num_samples), dtype=np.float32)
    for source in sources:
        recording = library.recording(source.class_index, source.recording)
        stretch = cut_stretch(recording, source.phase, num_samples)
        sound = stretch * np.float32(source.gain)
        mixture += STEREO[stereo](sound, source.position) if channels == 2 else sound
    peak = float(np.abs(mixture).max())
    return mixture * np.float32(_PEAK / peak) if peak > _PEAK else mixture


def cut_stretch(recording: Recording, phase: float, num_samples: int) -> Waveform:
    """A stretch of the recording, (1, num_samples), picked by ``phase`` from 0 to 1.

    A long recording is cropped where it is loud enough, a short one repeats from somewhere on.
    """
    total = recording.sound.shape[1]
    if total <= num_samples:
        turned = np.roll(recording.sound[0], -int(phase * total))
        return np.resize(turned, (1, num_samples))
    steps = -(-num_samples // ENERGY_HOP)
    if steps < len(recording.energy):
        stretches = recording.energy[steps:] - recording.energy[:-steps]
        loud = np.flatnonzero(stretches >= _MIN_ENERGY_SHARE * stretches.max())
    else:  # less than one step longer than the window
        loud = np.zeros(1, dtype=np.int64)
    start = min(int(loud[int(phase * len(loud))]) * ENERGY_HOP, total - num_samples)
    return recording.sound[:, start : start + num_samples]
