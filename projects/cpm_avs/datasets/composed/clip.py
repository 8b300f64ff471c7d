"""Clips of AVS-Stamps: several seconds in which the objects of one scene take turns to sound."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...media.audio_functional import SAMPLE_RATE, Waveform
from .library import BUILT_IN, Stamp, load_library
from .placement import PlacedObject
from .plan import SceneConfig, ScenePlan, Source, plan_scene
from .scene import draw_picture, mix_sources
from .stamps import default_object_size, difficulty

#: Every so many seconds other objects sound; longer than the 0.96 s that the model hears.
TURN_SECONDS = 1.92
_DRIFT = 0.03  # picture sides; how far an object moves to and fro
_FADE_SECONDS = 0.02


@dataclass(frozen=True)
class StampsClip:
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


def compose_clip(
    *,
    seed: int,
    seconds: float,
    fps: float,
    subset: str = "ss",
    size: int = 96,
    channels: int = 1,
    split: str = "test",
    data_root: str = BUILT_IN,
) -> StampsClip:
    """Compose a clip; the same one for the same arguments.

    Args:
        seed: Which clip.
        seconds: Its length.
        fps: Frames a second.
        subset: How many objects there are and how many sound at once, as in ``StampsDataset``.
        size: Side of the frames, px.
        channels: 1 mono or 2 stereo.
        split: Whose backgrounds to use.
        data_root: The folder with index.csv, cut-outs and sounds.
    """
    num_frames = round(seconds * fps)
    if num_frames < 1:
        raise ValueError(f"seconds={seconds}, fps={fps}: that is less than one frame.")
    objects, sounding = difficulty(subset)
    config = SceneConfig(
        subset=subset,
        split=split,
        seed=seed,
        num_objects=objects,
        num_sounding=sounding,
        offscreen_prob=0.0,
        silent_prob=0.0,
        object_size=default_object_size(objects),
        gain_db=2.0,
    )
    stamps = load_library(data_root)
    plan = plan_scene(config, stamps, 0)
    rng = np.random.default_rng((*plan.background_seed, 2))
    times = np.arange(num_frames) / fps
    turns = _draw_turns(rng, plan, max(sounding), math.ceil(num_frames / fps / TURN_SECONDS))
    phases = rng.uniform(0, 2 * np.pi, size=(objects, 2))
    frames, masks = [], []
    for time in times.tolist():
        turn = turns[int(time // TURN_SECONDS)]
        moved = [
            replace(_drift(item, phase, time), sounds=number in turn)
            for number, (item, phase) in enumerate(zip(plan.objects, phases, strict=True))
        ]
        picture = draw_picture(
            moved, stamps, split=split, background_seed=plan.background_seed, size=size
        )
        frames.append(picture.image)
        masks.append(picture.class_map(moved, all_visible=False))
    parts = [_mix_turn(rng, plan, turn, stamps, channels) for turn in turns]
    waveform = np.concatenate(parts, axis=1)[:, : round(num_frames / fps * SAMPLE_RATE)]
    return StampsClip(np.stack(frames), np.stack(masks), waveform, fps, SAMPLE_RATE)


def _draw_turns(
    rng: np.random.Generator, plan: ScenePlan, most: int, count: int
) -> list[frozenset[int]]:
    """Which objects sound in each turn, by number: others each time, and now and then none."""
    numbers = np.arange(len(plan.objects))
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


def _mix_turn(
    rng: np.random.Generator,
    plan: ScenePlan,
    turn: frozenset[int],
    stamps: tuple[Stamp, ...],
    channels: int,
) -> Waveform:
    """The sound of one turn, faded in and out so that it does not click."""
    sources = [
        Source(plan.objects[n].class_index, rng.random(), 1.0, plan.objects[n].center[0])
        for n in sorted(turn)
    ]
    length = round(TURN_SECONDS * SAMPLE_RATE)
    ramp = np.minimum(np.arange(length), np.arange(length)[::-1]) / (_FADE_SECONDS * SAMPLE_RATE)
    mixed = mix_sources(sources, stamps, num_samples=length, channels=channels)
    return mixed * ramp.clip(max=1).astype(np.float32)
