"""Loading of training samples, by a config's pipeline and by mmseg's, which has pictures alone."""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import TRANSFORMS

from ..datasets.seeding import seeded
from ..launch import build_dataset, built_from
from ..model_fit import check_config_classes
from .batches import coarse_regions
from .report import Row
from .scoring import write_frame
from .timing import Step, Timing, interleaved

_FRAMES = 4
_RATE, _SECONDS = 48_000, 10  # of the sound, stereo
_CROP = (512, 512)

#: mmseg's of Mask2Former on ADE20K, without the label 0 that ADE20K drops.
MMSEG_PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(
        type="RandomChoiceResize",
        scales=[int(512 * x * 0.1) for x in range(5, 21)],
        resize_type="ResizeShortestEdge",
        max_size=2048,
    ),
    dict(type="RandomCrop", crop_size=_CROP, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]


def loading_rows(
    configs: Mapping[str, Config],
    folder: Path,
    *,
    versus_mmseg: bool,
    runs: int,
    size: tuple[int, int] = (720, 1280),
) -> Iterator[Row]:
    """CPU and wall-clock milliseconds of a training sample, one process.

    Args:
        configs: By name. A data set that composes its scenes loads its own files; the others'
            pipelines read made ones.
        folder: Where made files go.
        versus_mmseg: Whether mmseg's pipeline is timed, too, and takes 1.00.
        runs: Samples of each that count.
        size: Height and width of made frames.
    """
    init_default_scope("mmseg")
    entries = list(_made_entries(folder, size))
    loaders: dict[str, Callable[[int], object]] = {}
    if versus_mmseg:
        loaders["mmseg"] = _pipeline_loader(MMSEG_PIPELINE, entries)
    for name, cfg in configs.items():
        with built_from(cfg):
            loaders[name] = _loader(cfg, entries)
    turns = {name: iter(range(10**9)) for name in loaders}
    steps = {
        name: Step(run=partial(_load_seeded, load), prepare=partial(next, turns[name]))
        for name, load in loaders.items()
    }
    timings = interleaved(steps, runs=runs, device="cpu", warm_up=_FRAMES)
    first = next(iter(timings.values()))
    for name, timing in timings.items():
        if isinstance(timing, Exception):
            raise timing
        assert isinstance(first, Timing)
        yield dict(
            what="data",
            model=name,
            ms=1000 * timing.seconds,
            cpu_ms=1000 * timing.cpu_seconds,
            ratio=timing.ratio(first),
            cpu_ratio=timing.cpu_ratio(first),
            samples_per_s=1 / timing.seconds,
        )


def _load_seeded(load: Callable[[int], object], turn: int) -> object:
    with seeded(turn):  # all draw the same scale, as far as they draw in the same order
        return load(turn)


def _loader(cfg: Config, entries: list[dict[str, Any]]) -> Callable[[int], object]:
    settings = (cfg.get("train_dataloader") or {}).get("dataset", {})
    while "dataset" in settings:  # a frame of a clip
        settings = settings["dataset"]
    pipeline = settings.get("pipeline", [])
    if pipeline and not any(step["type"] == "ComposeScene" for step in pipeline):
        check_config_classes(cfg)
        return _pipeline_loader(pipeline, entries)
    dataset = build_dataset(cfg, "train_dataloader")
    return lambda turn: dataset[turn % len(dataset)]


def _pipeline_loader(pipeline: list, entries: list[dict[str, Any]]) -> Callable[[int], object]:
    transforms = Compose([TRANSFORMS.build(deepcopy(step)) for step in pipeline])
    return lambda turn: transforms(deepcopy(entries[turn % len(entries)]))


def _made_entries(folder: Path, size: tuple[int, int]) -> Iterator[dict[str, Any]]:
    """Frames with masks of three classes and 10 s of stereo sound, as ``AVSDataset`` lists them."""
    for index in range(_FRAMES):
        _, labels = coarse_regions(1, 4, size, seed=index)
        stem = f"frame{index}"
        write_frame(folder, stem, labels[0].numpy())
        sound = np.random.default_rng(index).normal(0, 0.1, (_RATE * _SECONDS, 2))
        soundfile.write(folder / f"{stem}.wav", sound.astype(np.float32), _RATE, subtype="PCM_16")
        yield dict(
            img_path=str(folder / f"{stem}.jpg"),
            seg_map_path=str(folder / f"{stem}.png"),
            audio_path=str(folder / f"{stem}.wav"),
            audio_start=2.0 * index,
            clip_id=stem,
            frame_index=index,
            subset="made",
            label_map=None,
            reduce_zero_label=False,
            seg_fields=[],
            num_classes=4,
            palette=None,
            mask_encoding="index",
        )
