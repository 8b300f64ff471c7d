"""Audio backbones: linear spectrogram in, dense maps on its lattice out."""

from .audio_resnet import AudioResNet
from .vggish import VGGish

__all__ = ["AudioResNet", "VGGish"]
