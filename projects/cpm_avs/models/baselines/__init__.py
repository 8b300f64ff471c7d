"""Networks of the methods that CPM is compared with, written afresh from what is known of them."""

from .avsegformer import AVSegFormerHead
from .tpavi import TPAVIHead

__all__ = ["AVSegFormerHead", "TPAVIHead"]
