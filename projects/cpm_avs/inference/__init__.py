"""Inference with CPM: from a user's file to masks, video and report."""

from .av_inferencer import AVSInferencer

__all__ = ["AVSInferencer"]
