"""Audio backbones: linear spectrogram in, dense maps on its lattice out."""

from .audio_resnet import AudioResNet
from .cnn14 import Cnn14
from .htsat import HTSAT
from .vggish import VGGish
from .vggish_embedding import VGGishEmbedding
from .yamnet import YAMNet

__all__ = ["HTSAT", "AudioResNet", "Cnn14", "VGGish", "VGGishEmbedding", "YAMNet"]
