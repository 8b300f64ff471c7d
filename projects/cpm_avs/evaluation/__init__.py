"""Predictions and labels to numbers."""

from .avs_metric import AVSMetric
from .coverage import CoverageMetric
from .mask_writer import MaskWriterHook
from .robustness import RobustnessMetric

__all__ = ["AVSMetric", "CoverageMetric", "MaskWriterHook", "RobustnessMetric"]
