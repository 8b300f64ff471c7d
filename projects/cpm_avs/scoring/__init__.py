"""Mask files of anybody into scores, without a model or a config."""

from .comparison import compare
from .summary import summarise
from .whole_set import score_set

__all__ = ["compare", "score_set", "summarise"]
