"""What a model colours while the sound of a scene comes from elsewhere; see ``stereo_scores``.

Shorthand: H W mask size, L samples, S steps of the pan.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from numpy.typing import NDArray

from .stereo_scores import SwapScores, coloured_shares, swap_scores, swappable


class TwinScene(Protocol):
    """A scene in which one of two instances of a class sounds.

    Attributes:
        label: Their class.
        masks: What is seen of the one that sounds and of the silent one, (2, H, W) bool.
        places: Of their centres, from 0 to 1 of the width.
    """

    @property
    def label(self) -> int: ...

    @property
    def masks(self) -> NDArray[np.bool_]: ...

    @property
    def places(self) -> tuple[float, float]: ...

    def packed(self) -> dict[str, Any]:
        """The scene as its data set packs it."""

    def sound(self, place: float | None = None) -> NDArray[np.float32]:
        """Its sound (2, L), with that of the two's class at ``place``, if it is given."""


@dataclass(frozen=True)
class Pan:
    """A scene whose sound goes from the left instance to the right one.

    Attributes:
        scene: Which one.
        places: Of the sound, from 0 to 1 of the width, one a step.
        maps: Class maps that were predicted, (S, H, W).
        shares: ``coloured_shares`` of the left and the right instance, (S, 2).
    """

    scene: TwinScene
    places: Sequence[float]
    maps: Sequence[NDArray[np.int64]]
    shares: NDArray[np.float64]


class Listener:
    """Predicts a scene with other sounds.

    Args:
        model: The segmentor.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    @torch.no_grad()
    def predict(
        self, scene: TwinScene, sounds: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.int64]]:
        """Class maps (H, W) of a scene's picture with each of these sounds (2, L)."""
        packed = scene.packed()
        batch = [
            dict(
                inputs=dict(packed["inputs"], waveform=torch.from_numpy(sound)),
                data_samples=packed["data_samples"].clone(),
            )
            for sound in sounds
        ]
        found = self.model.test_step(pseudo_collate(batch))
        return [one.pred_sem_seg.data[0].cpu().numpy() for one in found]


def swap(listener: Listener, scenes: Sequence[TwinScene]) -> SwapScores:
    """Swap the channels of the scenes where the mirrored instance is the other one.

    Args:
        listener: Who is tested.
        scenes: At least one of them is ``swappable``.
    """
    normal, swapped = [], []
    for scene in filter(lambda one: swappable(one.places), scenes):
        heard = scene.sound()
        maps = listener.predict(scene, [heard, heard[::-1].copy()])
        first, second = (coloured_shares(one, scene.masks, scene.label) for one in maps)
        normal.append(first)
        swapped.append(second)
    return swap_scores(np.array(normal), np.array(swapped))


def pan(
    listener: Listener, scenes: Sequence[TwinScene], steps: NDArray[np.float64]
) -> Iterator[Pan]:
    """Move the sound of each scene from the left instance to the right one.

    Args:
        listener: Who is tested.
        scenes: Which ones.
        steps: How far on its way the sound is, from 0 to 1, (S,).
    """
    for scene in scenes:
        order = np.argsort(scene.places)
        left, right = (scene.places[number] for number in order)
        places = [float(min(max(left + step * (right - left), 0), 1)) for step in steps]
        maps = listener.predict(scene, [scene.sound(place) for place in places])
        shares = [coloured_shares(one, scene.masks[order], scene.label) for one in maps]
        yield Pan(scene, places, maps, np.array(shares))
