"""Procedural backgrounds of AVS-Stamps: families of textures, other ones in test than in train."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]  # (S, S, 3) BGR in [0, 1]
_Texture = Callable[[np.random.Generator, int], NDArray[np.float32]]  # (S, S) in [0, 1]


def draw_background(rng: np.random.Generator, split: str, size: int) -> Image:
    """A background of one of the split's families between two random colours, (S, S, 3)."""
    families = FAMILIES[split]
    texture = families[rng.integers(len(families))](rng, size)[..., None]
    dark, bright = rng.uniform(0.05, 0.95, size=(2, 3)).astype(np.float32)
    image = dark + (bright - dark) * texture
    grain = rng.standard_normal((size, size), dtype=np.float32)[..., None]
    return image + np.float32(rng.uniform(0, 0.04)) * grain


def _noise(rng: np.random.Generator, cells: int, size: int, *, smooth: bool) -> NDArray[np.float32]:
    grid = rng.random((cells, cells), dtype=np.float32)
    how = cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(grid, (size, size), interpolation=how), dtype=np.float32)


def _axis(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """Coordinate along a random direction, 0 to about 1 over the picture."""
    angle = rng.uniform(0, np.pi)
    line = np.linspace(0, 1, size, dtype=np.float32)
    return np.float32(np.cos(angle)) * line + np.float32(np.sin(angle)) * line[:, None]


def _clouds(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    coarse, middle, fine = (_noise(rng, cells, size, smooth=True) for cells in (3, 6, 14))
    return np.float32(0.5) * coarse + np.float32(0.3) * middle + np.float32(0.2) * fine


def _gradient(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    return _axis(rng, size) * np.float32(0.7) + np.float32(0.3) * _noise(rng, 4, size, smooth=True)


def _stripes(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    waves = np.sin(np.float32(rng.uniform(15, 60)) * _axis(rng, size))
    return np.float32(0.35) * waves + np.float32(0.5)


def _tiles(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    return _noise(rng, int(rng.integers(4, 12)), size, smooth=False)


def _marble(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    warp = np.float32(rng.uniform(4, 9)) * _noise(rng, 5, size, smooth=True)
    return np.float32(0.5) + np.float32(0.45) * np.sin(np.float32(12) * _axis(rng, size) + warp)


def _weave(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    frequency = np.float32(rng.uniform(25, 60))
    across = np.sin(frequency * _axis(rng, size)) * np.sin(frequency * _axis(rng, size))
    return np.float32(0.5) + np.float32(0.4) * across


def _rings(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    line = np.linspace(0, 1, size, dtype=np.float32)
    x, y = rng.uniform(-0.3, 1.3, size=2).astype(np.float32)
    radius = np.hypot(line - x, line[:, None] - y)
    return np.float32(0.5) + np.float32(0.4) * np.sin(np.float32(rng.uniform(20, 60)) * radius)


def _pebbles(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    field = _noise(rng, int(rng.integers(10, 18)), size, smooth=True)
    return np.float32(0.5) + np.float32(0.4) * np.tanh(np.float32(12) * (field - np.float32(0.5)))


_TRAIN: tuple[_Texture, ...] = (_clouds, _gradient, _stripes, _tiles)
_TEST: tuple[_Texture, ...] = (_marble, _weave, _rings, _pebbles)
FAMILIES: dict[str, tuple[_Texture, ...]] = {"train": _TRAIN, "val": _TRAIN, "test": _TEST}
