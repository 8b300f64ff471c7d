"""All of inference: no labels, no memory, no losses."""

import mmdet.models  # noqa: F401  (registers the pixel decoder)

from . import audio_backbones  # noqa: F401
from .audio_decoder import AudioDecoder
from .av_decoder import AVDecoder
from .av_segmentor import AVSegmentor
from .classifiers import GMMClassifier, LinearClassifier
from .cpm_head import CPMHead
from .data_preprocessor import AVDataPreprocessor

__all__ = [
    "AVDataPreprocessor",
    "AVDecoder",
    "AVSegmentor",
    "AudioDecoder",
    "CPMHead",
    "GMMClassifier",
    "LinearClassifier",
]
