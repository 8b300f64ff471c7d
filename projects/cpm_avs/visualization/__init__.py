"""Visualization of CPM."""

from .av_visualizer import AVSLocalVisualizer
from .visualization_hook import AVSVisualizationHook

__all__ = ["AVSLocalVisualizer", "AVSVisualizationHook"]
