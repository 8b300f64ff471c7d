"""Predictions and labels to numbers."""

from .avs_metric import AVSMetric
from .coverage import CoverageMetric
from .robustness import RobustnessMetric

__all__ = ["AVSMetric", "CoverageMetric", "RobustnessMetric"]
