"""Composed clips as videos, to try a model on, with the truth where it is wanted."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.composed.clip import ComposedClip, compose_clip
from ..datasets.composed.composed_dataset import ComposedDataset
from ..datasets.composed.stamps import CLASSES, StampsDataset
from ..files import whole_file
from ..media.audio_functional import resample
from ..media.video_writer import VideoWriter
from .clip import video_clip
from .output_names import own_folder
from .outputs import MaskWriter, earlier_masks
from .report_writer import ReportWriter
from .results import FrameResult
from .timeline import Timeline

_SOUND_RATE = 48000  # browsers play every rate of AAC but not all of them well


def example_scenes(
    *,
    seed: int,
    subset: str = "ms",
    data_root: str | None = None,
    classes: Sequence[str] = (),
    size: int = 256,
) -> ComposedDataset:
    """Where a clip's scene comes from: test photographs and test recordings.

    Args:
        seed: Which scene.
        subset: How many objects there are and how many sound, as in ``ComposedDataset``.
        data_root: The folder with index.csv; None: AVS-Stamps.
        classes: Only these are seen and heard; none named: all.
        size: Side of the frames, pixels, even.
    """
    settings: dict[str, Any] = dict(
        subset=subset,
        split="test",
        num_scenes=1,
        image_size=size,
        num_channels=2,
        seed=seed,
        classes=classes,
        pipeline=[],
    )
    if data_root is None:
        return StampsDataset(**settings)
    return ComposedDataset(data_root=data_root, plain_prob=0.0, **settings)


def examples_for(classes: Sequence[str], *, seed: int) -> ComposedDataset:
    """Three objects of AVS-Stamps that a model knows; any three where it knows fewer than that.

    Args:
        classes: The model's classes.
        seed: Which scene.
    """
    known = [name for name in CLASSES[1:] if name in classes]
    return example_scenes(seed=seed, subset="ss", classes=known if len(known) >= 3 else ())


def write_example(
    path: Path, scenes: ComposedDataset, *, seconds: float = 6.0, truth: Path | None = None
) -> Path:
    """Write a clip in which the objects of one scene take turns to sound.

    Args:
        path: An mp4 to write.
        scenes: See ``example_scenes``.
        seconds: The clip's length.
        truth: A folder for what is true of it, as ``demo.py --out-dir`` writes what it finds:
            ``masks/frame_000000.png`` and so on, and ``report.json``.

    Raises:
        UserError: The folder holds files of others.
    """
    if truth is not None:
        own_folder(truth)
    clip = compose_clip(scenes, seconds=seconds, fps=12)
    with whole_file(path) as part:
        writer = VideoWriter(
            part,
            width=scenes.image_size,
            height=scenes.image_size,
            rate=Fraction(12),
            sound=iter([resample(clip.waveform, clip.sample_rate, _SOUND_RATE)]),
            sample_rate=_SOUND_RATE,
            channels=2,
        )
        try:
            for index, frame in enumerate(clip.frames):
                writer.write(np.ascontiguousarray(frame[..., ::-1]), index / 12)
            writer.close(seconds)
        except BaseException:
            writer.abort()
            raise
    if truth is not None:
        _write_truth(truth, path, clip, scenes.metainfo["classes"])
    return path


def _write_truth(folder: Path, path: Path, clip: ComposedClip, classes: Sequence[str]) -> None:
    for mask in earlier_masks(folder / "masks"):
        mask.unlink()
    masks = MaskWriter(folder / "masks", len(classes))
    video = video_clip(path, None, silent_ok=True)
    report = ReportWriter(folder / "report.json", video, classes)
    timeline = Timeline(len(clip.masks) / clip.fps)
    try:
        for index, mask in enumerate(clip.masks):
            labels = np.unique(mask[mask > 0]).tolist()
            result = FrameResult(index / clip.fps, mask, dict.fromkeys(labels, 1.0), classes)
            report.write(result, f"masks/{masks.write(result)}")
            timeline.add(result, result.time)
        report.close(timeline.finish(len(clip.masks) / clip.fps))
    except BaseException:
        report.abort()
        raise
