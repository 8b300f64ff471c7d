"""Composed scenes in which one of two instances of a class sounds, from there or from elsewhere.

Shorthand: H W mask size, L samples.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...media.audio_functional import Waveform
from .composed_dataset import ComposedDataset
from .scene import draw_picture

_SMALLEST = 0.005  # share of a picture that must be seen of an instance
_APART = 0.2  # of the width, at least, between the two


@dataclass(frozen=True)
class Twins:
    """A scene with two instances of a class.

    Attributes:
        dataset: The scene's.
        index: Of the scene.
        label: Their class.
        masks: What is seen of the one that sounds and of the silent one, (2, H, W) bool.
        places: Of their centres, from 0 to 1 of the width.
    """

    dataset: ComposedDataset
    index: int
    label: int
    masks: NDArray[np.bool_]
    places: tuple[float, float]

    def packed(self) -> dict[str, Any]:
        """The scene as its data set packs it."""
        return self.dataset[self.index]

    def sound(self, place: float | None = None) -> Waveform:
        """Its sound (A, L), with that of the two's class at ``place``, if it is given."""
        sources = self.dataset.plan(self.index).sources
        if place is not None:
            sources = tuple(
                replace(one, position=place) if one.class_index == self.label else one
                for one in sources
            )
        return self.dataset.mix(sources, self.dataset.num_samples)


def twins_of(dataset: ComposedDataset) -> Iterator[Twins]:
    """The scenes of a set in which two instances can be seen and told apart by their places."""
    for index in range(dataset.num_scenes):
        plan = dataset.plan(index)
        counts = Counter(item.class_index for item in plan.objects)
        twins = [n for n, item in enumerate(plan.objects) if counts[item.class_index] == 2]
        twins.sort(key=lambda number: not plan.objects[number].sounds)
        items = [plan.objects[number] for number in twins]
        if [item.sounds for item in items] != [True, False]:
            continue
        split, size = dataset.scene_config.split, dataset.image_size
        owner = draw_picture(plan, dataset.library, split=split, size=size).owner
        masks = np.stack([owner == number + 1 for number in twins])
        first, second = (item.center[0] for item in items)
        if masks.mean((1, 2)).min() >= _SMALLEST and abs(first - second) >= _APART:
            yield Twins(dataset, index, items[0].class_index, masks, (first, second))
