"""Predictions and labels to numbers."""

from .avs_metric import AVSMetric
from .coverage import CoverageMetric
from .mask_writer import MaskWriterHook
from .robustness import RobustnessMetric
from .robustness_loop import RobustnessLoop

__all__ = ["AVSMetric", "CoverageMetric", "MaskWriterHook", "RobustnessLoop", "RobustnessMetric"]
