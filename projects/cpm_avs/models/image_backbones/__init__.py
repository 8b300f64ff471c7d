"""Image backbones that MMSegmentation and MMDetection lack: maps at strides 4, 8, 16 and 32."""

from .dinov2 import DINOv2
from .efficientnet_lite import EfficientNetLite

__all__ = ["DINOv2", "EfficientNetLite"]
