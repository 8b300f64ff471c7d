"""Composed clips: several seconds in which the objects of one scene take turns to sound."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...media.audio_functional import SAMPLE_RATE, Waveform
from .composed_dataset import ComposedDataset
from .library import Library
from .placement import PlacedObject
from .plan import ScenePlan, Source
from .scene import draw_picture, mix_sources

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
        waveform: (A, L) float32 at ``sample_rate``; as long as the frames.
        fps: Frames a second.
        sample_rate: Hz.
    """

    frames: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    waveform: Waveform
    fps: float
    sample_rate: int


def compose_clip(scenes: ComposedDataset, *, seconds: float, fps: float) -> ComposedClip:
    """Compose a clip of the set's first scene; the same one for the same arguments.

    Args:
        scenes: What is shown and heard, with everything that is seen able to sound: subset, split,
            seed, size and channels of the clip are the set's.
        seconds: Its length.
        fps: Frames a second.
    """
    num_frames = round(seconds * fps)
    if num_frames < 1:
        raise ValueError(f"seconds={seconds}, fps={fps}: that is less than one frame.")
    library, config = scenes.library, scenes.scene_config
    plan = scenes.plan(0)
    rng = np.random.default_rng((*plan.background_seed, 2))
    times = np.arange(num_frames) / fps
    count = math.ceil(num_frames / fps / TURN_SECONDS)
    voices = _voices(plan, library)
    turns = _draw_turns(rng, sorted(voices), max(config.num_sounding), count)
    phases = rng.uniform(0, 2 * np.pi, size=(len(plan.objects), 2))
    frames, masks = [], []
    for time in times.tolist():
        moved = _at_time(plan, turns[int(time // TURN_SECONDS)], phases, time)
        picture = draw_picture(moved, library, split=config.split, size=scenes.image_size)
        frames.append(picture.image)
        masks.append(
            picture.class_map(moved.things, all_visible=False, num_labelled=library.num_labelled)
        )
    parts = [
        _mix_turn(rng, [voices[n] for n in sorted(turn)], library, scenes.num_channels)
        for turn in turns
    ]
    waveform = np.concatenate(parts, axis=1)[:, : round(num_frames / fps * SAMPLE_RATE)]
    return ComposedClip(np.stack(frames), np.stack(masks), waveform, fps, SAMPLE_RATE)


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
    most = min(most, len(numbers))
    turns: list[frozenset[int]] = []
    while len(turns) < count:
        how_many = 0 if turns and rng.random() < 0.15 else int(rng.integers(1, most + 1))
        turn = frozenset(rng.choice(numbers, size=how_many, replace=False).tolist())
        if not turns or turn != turns[-1]:
            turns.append(turn)
    return turns


def _at_time(
    plan: ScenePlan, turn: frozenset[int], phases: NDArray[np.float64], time: float
) -> ScenePlan:
    """The scene at a time, s: objects have moved, and others sound."""
    objects = tuple(
        replace(_drift(item, phase, time), sounds=number in turn)
        for number, (item, phase) in enumerate(zip(plan.objects, phases, strict=True))
    )
    backdrop = plan.backdrop
    if backdrop is not None:
        backdrop = replace(backdrop, sounds=len(objects) in turn)
    return replace(plan, objects=objects, backdrop=backdrop)


def _drift(item: PlacedObject, phase: NDArray[np.float64], time: float) -> PlacedObject:
    x, y = np.array(item.center) + _DRIFT * np.sin(phase + 1.3 * time)
    return replace(item, center=(float(x), float(y)))


def _mix_turn(
    rng: np.random.Generator, voices: list[Source], library: Library, channels: int
) -> Waveform:
    """The sound of one turn, faded in and out so that it does not click."""
    sources = [replace(voice, phase=rng.random()) for voice in voices]
    length = round(TURN_SECONDS * SAMPLE_RATE)
    ramp = np.minimum(np.arange(length), np.arange(length)[::-1]) / (_FADE_SECONDS * SAMPLE_RATE)
    mixed = mix_sources(sources, library, num_samples=length, channels=channels)
    return mixed * ramp.clip(max=1).astype(np.float32)
