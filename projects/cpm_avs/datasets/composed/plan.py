"""What is in a scene of AVS-Stamps, before anything is drawn: the same for (seed, split, index)."""

from dataclasses import dataclass

import numpy as np

from ..avs_dataset import SPLITS
from .library import Stamp
from .placement import PlacedObject, place_objects

SUBSETS = ("ss", "ms", "msmi")


@dataclass(frozen=True)
class SceneConfig:
    """How hard the scenes are.

    Attributes:
        subset: ``'ss'``, ``'ms'`` or ``'msmi'``.
        split: ``'train'``, ``'val'`` or ``'test'``.
        seed: Start of all scenes of the set.
        num_objects: Objects in a picture; for ``'msmi'`` with both instances.
        num_sounding: How many of them sound, one of these numbers each time.
        offscreen_prob: Probability of a sound whose class is not in the picture.
        silent_prob: Probability that no object sounds.
        object_size: Smallest and largest object, root of its opaque area over the picture's side.
        gain_db: Largest random gain of a sound, up or down, dB.
    """

    subset: str
    split: str
    seed: int
    num_objects: int
    num_sounding: tuple[int, ...]
    offscreen_prob: float
    silent_prob: float
    object_size: tuple[float, float]
    gain_db: float

    def __post_init__(self) -> None:
        if self.subset not in SUBSETS or self.split not in SPLITS:
            raise ValueError(
                f"subset={self.subset!r}, split={self.split!r}: use one of {', '.join(SUBSETS)} "
                f"and of {', '.join(SPLITS)}."
            )
        # One of the two instances is silent.
        available = self.num_objects - (self.subset == "msmi")
        if not self.num_sounding or not all(1 <= n <= available for n in self.num_sounding):
            raise ValueError(
                f"num_sounding={self.num_sounding} of num_objects={self.num_objects}: at least "
                f"one and, in {self.subset!r}, at most {available} can sound."
            )


@dataclass(frozen=True)
class Source:
    """A sound of a scene.

    Attributes:
        class_index: 1 to C - 1.
        phase: Where in the recording it starts, 0 to 1.
        gain: Factor on the reference level.
        position: 0 left to 1 right.
    """

    class_index: int
    phase: float
    gain: float
    position: float


@dataclass(frozen=True)
class ScenePlan:
    """A scene: objects from back to front, sounds, and the seed of its background."""

    objects: tuple[PlacedObject, ...]
    sources: tuple[Source, ...]
    background_seed: tuple[int, ...]

    @property
    def visible_classes(self) -> set[int]:
        """Classes in the picture."""
        return {item.class_index for item in self.objects}

    @property
    def heard_classes(self) -> set[int]:
        """Classes in the sound, off-screen ones too."""
        return {source.class_index for source in self.sources}


def plan_scene(config: SceneConfig, stamps: tuple[Stamp, ...], index: int) -> ScenePlan:
    """Draw scene ``index``."""
    words = (config.seed, SPLITS.index(config.split), SUBSETS.index(config.subset), index)
    rng = np.random.default_rng(words)
    classes = rng.permutation(np.arange(1, len(stamps) + 1)).tolist()
    if config.subset == "msmi":
        classes.insert(1, classes[0])  # objects 0 and 1 are the two instances
    present, absent = classes[: config.num_objects], classes[config.num_objects :]
    sounding = _draw_sounding(rng, config)
    objects = [_draw_object(rng, config, c, i in sounding) for i, c in enumerate(present)]
    placed = place_objects(rng, [objects[i] for i in rng.permutation(len(objects))], stamps)
    sources = [_draw_source(rng, config, o.class_index, o.center[0]) for o in placed if o.sounds]
    if absent and rng.random() < config.offscreen_prob:
        sources.append(_draw_source(rng, config, int(rng.choice(absent)), rng.random()))
    return ScenePlan(placed, tuple(sources), (*words, 1))


def _draw_sounding(rng: np.random.Generator, config: SceneConfig) -> set[int]:
    """Which objects sound, by their number."""
    how_many = int(rng.choice(config.num_sounding))
    if rng.random() < config.silent_prob:
        return set()
    if config.subset == "msmi":  # one of the instances 0 and 1, never both, then others
        return {int(rng.integers(2)), *range(2, 1 + how_many)}
    return set(range(how_many))


def _draw_object(
    rng: np.random.Generator, config: SceneConfig, class_index: int, sounds: bool
) -> PlacedObject:
    blue, green, red = (rng.uniform(0.7, 1.2) * rng.uniform(0.92, 1.08, size=3)).tolist()
    return PlacedObject(
        class_index=class_index,
        sounds=sounds,
        center=(0.5, 0.5),
        size=rng.uniform(*config.object_size),
        angle=rng.normal(0, 12),
        mirrored=bool(rng.random() < 0.5),
        light=(blue, green, red),
    )


def _draw_source(
    rng: np.random.Generator, config: SceneConfig, class_index: int, position: float
) -> Source:
    gain = 10 ** (rng.uniform(-config.gain_db, config.gain_db) / 20)
    return Source(class_index, rng.random(), gain, min(max(position, 0.0), 1.0))
