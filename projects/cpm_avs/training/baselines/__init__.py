"""Losses of the methods that CPM is compared with."""

from .avsegformer_criterion import AVSegFormerCriterion

__all__ = ["AVSegFormerCriterion"]
