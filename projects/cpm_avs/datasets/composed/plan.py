"""What is in a scene, before anything is drawn: the same for (seed, split, index)."""

from dataclasses import dataclass, replace
from math import inf

import numpy as np

from ..avs_dataset import SPLITS
from .backdrop import Backdrop, draw_window
from .library import Library
from .placement import GRID, PlacedObject, place_objects

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
        plain_prob: Probability that a photograph is shown as it is, with no other object in it.
            What it shows is then heard, or else, as often, a class that is not in the picture.
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
    plain_prob: float = 0.0

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
        for name in ("plain_prob", "offscreen_prob", "silent_prob"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}: give a probability, 0 to 1.")
        smallest, largest = self.object_size
        if not 0 < smallest <= largest or not 0 <= self.gain_db < inf:
            raise ValueError(
                f"object_size={self.object_size}, gain_db={self.gain_db}: give shares of the "
                "picture's side, smallest first, and decibels from 0 on."
            )


@dataclass(frozen=True)
class Source:
    """A sound of a scene.

    Attributes:
        class_index: 1 to C - 1.
        phase: Where in the recording it starts, 0 to 1.
        gain: Factor on the reference level.
        position: 0 left to 1 right.
        recording: Number of the class's recording.
    """

    class_index: int
    phase: float
    gain: float
    position: float
    recording: int = 0


@dataclass(frozen=True)
class ScenePlan:
    """A scene: objects from back to front, sounds, and what is behind it all.

    Attributes:
        objects: Cut-outs.
        sources: What is heard.
        background_seed: Of the texture behind the objects, where there is no backdrop.
        backdrop: The photograph behind the objects, whose own object counts as one of the scene.
    """

    objects: tuple[PlacedObject, ...]
    sources: tuple[Source, ...]
    background_seed: tuple[int, ...]
    backdrop: Backdrop | None = None

    @property
    def things(self) -> tuple[PlacedObject | Backdrop, ...]:
        """All that is seen, in the order of its number in ``Picture.owner``, from 1."""
        return self.objects if self.backdrop is None else (*self.objects, self.backdrop)

    @property
    def visible_classes(self) -> set[int]:
        """Classes in the picture."""
        return {item.class_index for item in self.things}

    @property
    def sounding_classes(self) -> set[int]:
        """Classes in the picture that sound."""
        return {item.class_index for item in self.things if item.sounds}

    @property
    def heard_classes(self) -> set[int]:
        """Classes in the sound, off-screen ones too."""
        return {source.class_index for source in self.sources}


def plan_scene(config: SceneConfig, library: Library, index: int) -> ScenePlan:
    """Draw scene ``index``."""
    words = (config.seed, SPLITS.index(config.split), SUBSETS.index(config.subset), index)
    rng = np.random.default_rng(words)
    # Which photograph and which recording, from a stream of its own: scenes stay as they are when
    # a class is given more of them.
    faces = np.random.default_rng((*words, 3))
    plain = library.has_photographs and faces.random() < config.plain_prob
    classes = rng.permutation(np.array(library.visible)).tolist()
    if not plain:
        classes = _audible_first(classes, library, max(config.num_sounding))
    if config.subset == "msmi" and not plain:
        classes.insert(1, classes[0])  # objects 0 and 1 are the two instances
    count = 1 if plain else config.num_objects
    present, absent = classes[:count], classes[count:]
    if plain:
        sounding = {0} if present[0] in library.audible and faces.random() < 0.5 else set()
    else:
        sounding = _draw_sounding(rng, config)

    backdrop, behind = None, None
    if library.has_photographs:
        # Neither of the two instances: their places are drawn.
        number = 0 if plain else int(faces.integers(2 * (config.subset == "msmi"), count))
        backdrop = _draw_backdrop(faces, library, present[number], number in sounding)
        behind = backdrop.draw(library, GRID)[1]
        present[number] = 0
    objects = [_draw_object(rng, config, c, i in sounding) for i, c in enumerate(present) if c]
    objects = _choose_photos(faces, objects, library)
    order = rng.permutation(len(objects))
    placed = place_objects(rng, [objects[i] for i in order], library, behind)

    sources = [_draw_source(rng, config, o.class_index, o.center[0]) for o in placed if o.sounds]
    if backdrop is not None and backdrop.sounds:
        assert behind is not None
        columns = np.nonzero(behind)[1]
        middle = (float(columns.mean()) + 0.5) / GRID if len(columns) else 0.5
        sources.append(_draw_source(rng, config, backdrop.class_index, middle))
    absent = [c for c in absent if c in library.audible]
    absent += [c for c in library.audible if c not in library.visible]
    foreign = 1 - config.silent_prob if plain and not sounding else config.offscreen_prob
    if absent and rng.random() < foreign:
        sources.append(_draw_source(rng, config, int(rng.choice(absent)), rng.random()))
    sources = [
        replace(one, recording=int(faces.integers(len(library.sounds[one.class_index - 1]))))
        for one in sources
    ]
    return ScenePlan(placed, tuple(sources), (*words, 1), backdrop)


def _audible_first(classes: list[int], library: Library, count: int) -> list[int]:
    """Bring ``count`` classes that can sound to the front; all else keeps its order."""
    first = [c for c in classes if c in library.audible][:count]
    return first + [c for c in classes if c not in first]


def _draw_backdrop(
    rng: np.random.Generator, library: Library, class_index: int, sounds: bool
) -> Backdrop:
    photo = int(rng.integers(len(library.photos[class_index - 1])))
    window = draw_window(rng, library.photograph(class_index, photo))
    blue, green, red = (rng.uniform(0.8, 1.15) * rng.uniform(0.96, 1.04, size=3)).tolist()
    return Backdrop(
        class_index=class_index,
        photo=photo,
        sounds=sounds,
        window=window,
        mirrored=bool(rng.random() < 0.5),
        light=(blue, green, red),
    )


def _choose_photos(
    rng: np.random.Generator, objects: list[PlacedObject], library: Library
) -> list[PlacedObject]:
    """Give each object a photograph of its class, two instances different ones if there are."""
    chosen: list[PlacedObject] = []
    for item in objects:
        taken = {other.photo for other in chosen if other.class_index == item.class_index}
        numbers = range(len(library.photos[item.class_index - 1]))
        free = [number for number in numbers if number not in taken] or list(numbers)
        chosen.append(replace(item, photo=free[int(rng.integers(len(free)))]))
    return chosen


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
