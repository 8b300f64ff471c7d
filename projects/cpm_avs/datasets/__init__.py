"""Datasets of CPM: files to samples."""

from . import avs_dataset, samplers, transforms  # noqa: F401
