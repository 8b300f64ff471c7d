"""Losses of the methods that CPM is compared with."""

from .avsegformer_criterion import AVSegFormerCriterion
from .cavp_criterion import CAVPCriterion
from .tpavi_criterion import TPAVICriterion

__all__ = ["AVSegFormerCriterion", "CAVPCriterion", "TPAVICriterion"]
