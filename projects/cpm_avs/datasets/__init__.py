"""Datasets of CPM: files to samples."""

from . import (  # noqa: F401
    avs_dataset,
    clip_dataset,
    degradations,
    negative_sounds,
    offscreen_noise,
    samplers,
    scaled_crop,
    sounding_dataset,
    transforms,
)
from .benchmarks import avsbench, benchmark_transforms, vpo  # noqa: F401
from .composed import clip_frames, composed_dataset, stamps  # noqa: F401
