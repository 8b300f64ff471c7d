"""Audio backbones: linear spectrogram in, dense maps on its lattice out."""

from .audio_resnet import AudioResNet
from .vggish import VGGish
from .vggish_embedding import VGGishEmbedding
from .yamnet import YAMNet

__all__ = ["AudioResNet", "VGGish", "VGGishEmbedding", "YAMNet"]
