"""Scoring of frames under both protocols, against loading them (JPEG frame, PNG mask)."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from ..evaluation import AVSMetric
from .batches import coarse_regions
from .report import Row

_DISTINCT = 16  # made frames, used in turn; the disk cache holds them, which favours loading


def scoring_rows(frames: int, size: int, num_classes: int) -> list[Row]:
    """CPU seconds of loading and of scoring.

    Args:
        frames: To load and score.
        size: Height and width.
        num_classes: C; 2 is a binary set.
    """
    metric = AVSMetric()
    metric.dataset_meta = dict(classes=[f"class {i}" for i in range(num_classes)])
    samples = [_made_sample(seed, size, num_classes) for seed in range(_DISTINCT)]
    with tempfile.TemporaryDirectory() as folder:
        for i, sample in enumerate(samples):
            write_frame(Path(folder), str(i), sample["gt_sem_seg"]["data"][0].numpy())
        loading = _seconds(frames, lambda i: _load(Path(folder), i % _DISTINCT))
    scoring = _seconds(frames, lambda i: metric.process({}, [samples[i % _DISTINCT]]))
    described = dict(frames=frames, size=f"{size}x{size}", classes=num_classes)
    return [
        dict(what="loading", **described, cpu_s=loading),
        dict(what="scoring, both protocols", **described, cpu_s=scoring),
    ]


def write_frame(folder: Path, stem: str, mask: np.ndarray) -> None:
    """The mask (H, W) as PNG, and a JPEG frame with its regions and some texture."""
    Image.fromarray(mask.astype(np.uint8)).save(folder / f"{stem}.png")
    texture = np.random.default_rng(len(stem)).normal(0, 8, (*mask.shape, 3))
    frame = (mask[..., None] * np.array([37, 59, 83])) % 200 + 28 + texture
    Image.fromarray(frame.clip(0, 255).astype(np.uint8)).save(folder / f"{stem}.jpg", quality=90)


def _made_sample(seed: int, size: int, num_classes: int) -> dict[str, Any]:
    """A prediction and a truth of large regions, as a metric gets them."""
    scores, labels = coarse_regions(2, num_classes, (size, size), seed=seed)
    sample = SegDataSample(metainfo=dict(source=("ss", "ms")[seed % 2], frame_index=seed))
    sample.pred_sem_seg = PixelData(data=labels[:1])
    sample.gt_sem_seg = PixelData(data=labels[1:])
    if num_classes == 2:
        sample.seg_logits = PixelData(data=scores[0])
    return sample.to_dict()


def _load(folder: Path, index: int) -> tuple[np.ndarray, np.ndarray]:
    frame = np.asarray(Image.open(folder / f"{index}.jpg").convert("RGB"))
    return frame, np.asarray(Image.open(folder / f"{index}.png"))


def _seconds(count: int, step: Callable[[int], object]) -> float:
    """CPU time of ``count`` steps, after a few that warm up."""
    for i in range(_DISTINCT):
        step(i)
    start = time.process_time()
    for i in range(count):
        step(i)
    return time.process_time() - start
