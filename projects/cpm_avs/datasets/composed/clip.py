"""Composed clips: several seconds in which the objects of one scene take turns to sound."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...constants import SAMPLE_RATE
from ...media.audio_functional import Waveform
from .composed_dataset import ComposedDataset
from .library import Library
from .placement import PlacedObject
from .plan import ScenePlan, Source
from .scene import draw_picture

#: Every so many seconds other objects sound; longer than the 0.96 s that the model hears.
TURN_SECONDS = 1.92
_DRIFT = 0.03  # picture sides; how far an object moves to and fro
_FADE_SECONDS = 0.02


@dataclass(frozen=True)
class ComposedClip:
    """A composed clip.

    Attributes:
        frames: (N, S, S, 3) uint8 BGR.
        masks: Class of each pixel that sounds at that time, (N, S, S) uint8, 0 background.
        owners: Which thing of the scene each pixel shows, sounding or not, (N, S, S) uint8: 0 none,
            else its number from 1.
        sounding: Which things sound at each frame, by number from 1.
        waveform: (A, L) float32 at ``sample_rate``; as long as the frames.
        fps: Frames a second.
        sample_rate: Hz.
    """

    frames: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    owners: NDArray[np.uint8]
    sounding: tuple[frozenset[int], ...]
    waveform: Waveform
    fps: float
    sample_rate: int


@dataclass(frozen=True)
class ClipPlan:
    """What happens in a clip, before anything is drawn.

    Attributes:
        scene: The scene, before anything moves.
        turns: Which of ``scene.things`` sound in each turn, by number from 0.
        sources: What is heard in each turn.
        phases: Of the objects' motion in x and y, (objects, 2).
    """

    scene: ScenePlan
    turns: tuple[frozenset[int], ...]
    sources: tuple[tuple[Source, ...], ...]
    phases: NDArray[np.float64]

    def turn(self, time: float) -> int:
        """The turn at a time, s; the last one holds on at the end."""
        return min(int(time // TURN_SECONDS), len(self.turns) - 1)

    def at(self, time: float) -> ScenePlan:
        """The scene at a time, s: objects have moved, and others sound."""
        number = self.turn(time)
        turn = self.turns[number]
        objects = tuple(
            replace(_drift(item, phase, time), sounds=number in turn)
            for number, (item, phase) in enumerate(
                zip(self.scene.objects, self.phases, strict=True)
            )
        )
        backdrop = self.scene.backdrop
        if backdrop is not None:
            backdrop = replace(backdrop, sounds=len(objects) in turn)
        return replace(self.scene, objects=objects, backdrop=backdrop, sources=self.sources[number])

    def sound(self, scenes: ComposedDataset) -> Waveform:
        """The sound of all turns, one after another, with the channels of a set's scenes."""
        parts = [_mix_turn(sources, scenes) for sources in self.sources]
        return np.concatenate(parts, axis=1)


def plan_clip(scenes: ComposedDataset, scene_index: int, *, seconds: float) -> ClipPlan:
    """Draw what happens in a clip; the same for the same arguments.

    Args:
        scenes: What is shown and heard.
        scene_index: The scene whose objects take turns to sound.
        seconds: At least so long is the clip.
    """
    # Of a set whose items are frames of clips, too, the scene that they were made of.
    scene = ComposedDataset.plan(scenes, scene_index)
    rng = np.random.default_rng((*scene.background_seed, 2))
    voices = _voices(scene, scenes.library)
    most = max(scenes.scene_config.num_sounding)
    turns = _draw_turns(rng, sorted(voices), most, math.ceil(seconds / TURN_SECONDS))
    phases = rng.uniform(0, 2 * np.pi, size=(len(scene.objects), 2))
    sources = tuple(
        tuple(replace(voices[number], phase=rng.random()) for number in sorted(turn))
        for turn in turns
    )
    return ClipPlan(scene, tuple(turns), sources, phases)


def compose_clip(
    scenes: ComposedDataset, scene_index: int = 0, *, seconds: float, fps: float
) -> ComposedClip:
    """Compose a clip of one of the set's scenes; the same one for the same arguments.

    Args:
        scenes: What is shown and heard, with everything that is seen able to sound: subset, split,
            seed, size and channels of the clip are the set's.
        scene_index: Which scene.
        seconds: Its length.
        fps: Frames a second.
    """
    num_frames = round(seconds * fps)
    if num_frames < 1:
        raise ValueError(f"seconds={seconds}, fps={fps}: that is less than one frame.")
    library, config = scenes.library, scenes.scene_config
    plan = plan_clip(scenes, scene_index, seconds=num_frames / fps)
    frames, masks, owners, sounding = [], [], [], []
    for time in (np.arange(num_frames) / fps).tolist():
        moved = plan.at(time)
        picture = draw_picture(moved, library, split=config.split, size=scenes.image_size)
        frames.append(picture.image)
        masks.append(
            picture.class_map(moved.things, all_visible=False, num_labelled=library.num_labelled)
        )
        owners.append(picture.owner)
        sounding.append(frozenset(n for n, one in enumerate(moved.things, start=1) if one.sounds))
    waveform = plan.sound(scenes)
    return ComposedClip(
        np.stack(frames),
        np.stack(masks),
        np.stack(owners),
        tuple(sounding),
        waveform[:, : round(num_frames / fps * SAMPLE_RATE)],
        fps,
        SAMPLE_RATE,
    )


def _voices(plan: ScenePlan, library: Library) -> dict[int, Source]:
    """What can sound in the scene, by its number in ``plan.things``."""
    faces = np.random.default_rng((*plan.background_seed, 3))
    voices = {}
    for number, thing in enumerate(plan.things):
        recordings = len(library.sounds[thing.class_index - 1])
        if recordings:
            recording = int(faces.integers(recordings))
            position = thing.center[0] if isinstance(thing, PlacedObject) else 0.5
            voices[number] = Source(thing.class_index, 0.0, 1.0, position, recording)
    return voices


def _draw_turns(
    rng: np.random.Generator, numbers: list[int], most: int, count: int
) -> list[frozenset[int]]:
    """Which things sound in each turn, by number: others each time, and now and then none."""
    if not numbers:  # a silent class alone is in the picture
        return [frozenset()] * count
    most = min(most, len(numbers))
    turns: list[frozenset[int]] = []
    while len(turns) < count:
        how_many = 0 if turns and rng.random() < 0.15 else int(rng.integers(1, most + 1))
        turn = frozenset(rng.choice(numbers, size=how_many, replace=False).tolist())
        if not turns or turn != turns[-1]:
            turns.append(turn)
    return turns


def _drift(item: PlacedObject, phase: NDArray[np.float64], time: float) -> PlacedObject:
    x, y = np.array(item.center) + _DRIFT * np.sin(phase + 1.3 * time)
    return replace(item, center=(float(x), float(y)))


def _mix_turn(sources: Sequence[Source], scenes: ComposedDataset) -> Waveform:
    """The sound of one turn, faded in and out so that it does not click."""
    length = round(TURN_SECONDS * SAMPLE_RATE)
    ramp = np.minimum(np.arange(length), np.arange(length)[::-1]) / (_FADE_SECONDS * SAMPLE_RATE)
    return scenes.mix(sources, length) * ramp.clip(max=1).astype(np.float32)
