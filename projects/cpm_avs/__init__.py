"""CPM for audio-visual segmentation: data, model, metrics and pictures.

Importing this package registers everything that inference needs in MMSegmentation's registries;
``projects.cpm_avs.training`` registers the rest.
"""

from .mmcv_ops import ensure_mmcv_ops
from .safe_checkpoint import make_checkpoints_safe

ensure_mmcv_ops()  # before anything that imports mmcv.ops
make_checkpoints_safe()  # before anything that reads a file

from . import datasets, evaluation, models, visualization  # noqa: E402, F401
