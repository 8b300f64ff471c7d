"""Losses of the methods that CPM is compared with."""

from .avsegformer_criterion import AVSegFormerCriterion
from .tpavi_criterion import TPAVICriterion

__all__ = ["AVSegFormerCriterion", "TPAVICriterion"]
