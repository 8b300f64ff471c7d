"""A model on composed clips, frame by frame as a stream: mIoU, flicker, onset and offset, time.

Shorthand: C classes, N frames of a clip.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmseg.registry import DATASETS

from ..datasets.composed.clip import ComposedClip, compose_clip
from ..datasets.composed.composed_dataset import ComposedDataset
from ..evaluation import mask_functional as F
from ..evaluation.event_times import EventErrors, Stretch, event_errors
from ..evaluation.flicker import Flicker
from ..inference import AVSInferencer
from ..inference.results import FrameResult, Segment
from ..inference.sources import open_sources
from ..inference.timeline import Timeline


@dataclass(frozen=True)
class ClipScores:
    """Scores of a model on composed clips.

    Attributes:
        clips: Their number.
        frames: Of all clips.
        miou: Mean IoU of all frames together, over the classes with background, percent.
        flicker: See ``evaluation/flicker.py``, percent.
        onset: Mean error of the onsets that were found, seconds; NaN where there is none.
        offset: As ``onset``.
        missed: Stretches in which a class sounds and was not found.
        false: Stretches that were found and are none.
        stretches: Those there are.
        delay: Frames that an answer waits for beyond its own.
        sound_ahead: Seconds of sound that an answer waits for: its window lies around the frame.
        window: Frames that an answer looks back over, its own among them.
        smoothing: Time constant of the average that masks are drawn from, seconds; 0 without.
        ms_per_frame: Milliseconds of a frame, one at a time, all but composing it.
    """

    clips: int
    frames: int
    miou: float
    flicker: float
    onset: float
    offset: float
    missed: int
    false: int
    stretches: int
    delay: int
    sound_ahead: float
    window: int
    smoothing: float
    ms_per_frame: float


def clip_scenes(config: Config, *, clips: int, seed: int | None) -> ComposedDataset:
    """The scenes of a config's test set, of which clips are composed.

    Args:
        config: Whose ``test_dataloader`` is read.
        clips: As many scenes.
        seed: Of the scenes; None: the config's.

    Raises:
        ValueError: Its test set does not compose scenes.
    """
    settings: dict[str, Any] = dict(config.test_dataloader.dataset)
    while "dataset" in settings:
        settings = dict(settings["dataset"])
    kind = DATASETS.get(settings.get("type", ""))
    if not (isinstance(kind, type) and issubclass(kind, ComposedDataset)):
        raise ValueError(
            f"test_dataloader.dataset is of the type {settings.get('type')!r}, which composes no "
            "scenes: the truth of every frame is known of composed clips alone. Take a config of "
            "AVS-Stamps (cpm_mbv2-yamnet_stamps) or of a set of docs/real.md"
        )
    settings |= dict(num_scenes=clips, pipeline=[], test_mode=True)
    return DATASETS.build(settings | ({} if seed is None else dict(seed=seed)))


def score_clips(
    inferencer: AVSInferencer,
    scenes: ComposedDataset,
    *,
    seconds: float,
    fps: float,
    progress: Callable[[int], None] = lambda done: None,
    keep: Callable[[ComposedClip, Sequence[FrameResult]], None] = lambda clip, results: None,
) -> ClipScores:
    """Compose clips, segment each as a stream, and hold the result against the truth.

    Args:
        inferencer: With a ``batch_size`` of 1: a frame's answer does not wait for the next frame.
        scenes: Of ``clip_scenes``; one clip each.
        seconds: Length of a clip.
        fps: Frames a second.
        progress: Called with the number of clips that are done.
        keep: Called with each clip and what was found in its frames.
    """
    classes = scenes.metainfo["classes"]
    if tuple(inferencer.classes) != tuple(classes):
        raise ValueError(
            f"the model names {len(inferencer.classes)} classes, and the clips show others; give "
            "the config and the checkpoint of one run"
        )
    flicker, events, stretches = Flicker(), EventErrors(), 0
    matrix = np.zeros((len(classes), len(classes)), dtype=np.int64)
    spent, frames = 0.0, 0
    stream_clip(inferencer, compose_clip(scenes, seconds=3 / fps, fps=fps))  # sets kernels up
    for index in range(scenes.num_scenes):
        clip = compose_clip(scenes, index, seconds=seconds, fps=fps)
        began = time.perf_counter()
        results = stream_clip(inferencer, clip)
        spent += time.perf_counter() - began
        frames += len(results)
        keep(clip, results)
        flicker.begin_clip()
        for number, result in enumerate(results):
            flicker.add(result.class_map, clip.owners[number], clip.sounding[number])
            found, truth = map(torch.from_numpy, (result.class_map, clip.masks[number]))
            matrix += F.confusion_matrix(found, truth, len(classes))
        true = _stretches([_truth(mask, classes) for mask in clip.masks], clip.fps)
        events += event_errors(true, _stretches(results, clip.fps), len(results) / clip.fps)
        stretches += len(true)
        progress(index + 1)
    preparation = inferencer.preparation
    return ClipScores(
        clips=scenes.num_scenes,
        frames=frames,
        miou=100 * F.dataset_scores(F.class_areas(matrix))["mIoU"],
        flicker=100 * flicker.share,
        onset=_mean(events.onsets),
        offset=_mean(events.offsets),
        missed=events.missed,
        false=events.false,
        stretches=stretches,
        delay=inferencer.batch_size - 1,
        sound_ahead=preparation.num_samples / 2 / preparation.sample_rate,
        window=getattr(inferencer.model, "time_window", 1),
        smoothing=getattr(getattr(inferencer.model, "smoothing", None), "seconds", 0.0),
        ms_per_frame=1000 * spent / frames,
    )


def stream_clip(inferencer: AVSInferencer, clip: ComposedClip) -> list[FrameResult]:
    """What a model finds in every frame of a clip."""
    opened = open_sources((clip.frames, (clip.waveform, clip.sample_rate)))[0]
    return [result for _, result in inferencer.stream(opened)]


def _truth(mask: np.ndarray, classes: Sequence[str]) -> FrameResult:
    labels = np.unique(mask[mask > 0]).tolist()
    return FrameResult(0.0, mask, dict.fromkeys(labels, 1.0), classes)


def _stretches(results: Sequence[FrameResult], fps: float) -> list[Stretch]:
    """What sounds when, joined by the same rules for the truth and for what was found."""
    timeline = Timeline(len(results) / fps)
    for number, result in enumerate(results):
        timeline.add(result, number / fps)
    return [_stretch(one) for one in timeline.finish(len(results) / fps)]


def _stretch(segment: Segment) -> Stretch:
    return Stretch(segment.label, segment.start, segment.end)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
