"""All of inference: no labels, no memory, no losses."""

import mmdet.models  # noqa: F401  (registers the pixel decoder)

from . import audio_backbones, baselines, image_backbones  # noqa: F401
from .av_segmentor import AVSegmentor
from .clip_segmentor import ClipSegmentor
from .cpm.audio_decoder import AudioDecoder
from .cpm.av_decoder import AVDecoder
from .cpm.classifiers import GMMClassifier, LinearClassifier
from .cpm.clip_attention import ClipAttention
from .cpm.cpm_head import CPMHead
from .cpm.mask_pooled_classifier import MaskPooledClassifier
from .cpm.phase_position import PhasePosition
from .cpm.stereo_position import StereoPosition
from .data_preprocessor import AVDataPreprocessor
from .dense_segmentor import DenseSegmentor

__all__ = [
    "AVDataPreprocessor",
    "AVDecoder",
    "AVSegmentor",
    "AudioDecoder",
    "ClipAttention",
    "ClipSegmentor",
    "CPMHead",
    "DenseSegmentor",
    "GMMClassifier",
    "LinearClassifier",
    "MaskPooledClassifier",
    "PhasePosition",
    "StereoPosition",
]
