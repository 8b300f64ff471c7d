"""Datasets of CPM: files to samples."""

from . import (  # noqa: F401
    avs_dataset,
    avsbench,
    benchmark_transforms,
    offscreen_noise,
    samplers,
    stamps,
    transforms,
    vpo,
)
