"""Training: matching, losses, mixtures, prompts and hooks. Inference never imports this room."""

from . import hooks  # noqa: F401
from .cpm_criterion import CPMCriterion

__all__ = ["CPMCriterion"]
