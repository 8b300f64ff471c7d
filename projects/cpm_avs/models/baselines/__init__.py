"""Networks of the methods that CPM is compared with, written afresh from what is known of them."""

from .avsegformer import AVSegFormerHead
from .cavp import CAVPHead
from .cavp_sound import CAVPResNet18, CAVPVGGish, CAVPYAMNet
from .tpavi import TPAVIHead

__all__ = [
    "AVSegFormerHead",
    "CAVPHead",
    "CAVPResNet18",
    "CAVPVGGish",
    "CAVPYAMNet",
    "TPAVIHead",
]
