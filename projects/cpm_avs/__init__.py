"""CPM for audio-visual segmentation: data, model, metrics and pictures.

Importing this package registers everything that inference needs in MMSegmentation's registries;
``projects.cpm_avs.training`` registers the rest.
"""

from .mmcv_ops import ensure_mmcv_ops

ensure_mmcv_ops()  # before anything that imports mmcv.ops

from . import datasets, evaluation, models, visualization  # noqa: E402, F401
