"""Training: matching, losses, mixtures, prompts and hooks. Inference never imports this room."""

from . import baselines, hooks, parameter_groups, schedules, sound_apart  # noqa: F401
from .cpm_criterion import CPMCriterion
from .log_processor import AVSLogProcessor

__all__ = ["AVSLogProcessor", "CPMCriterion"]
