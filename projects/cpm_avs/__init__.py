"""CPM for audio-visual segmentation: data, model, metrics and pictures.

Importing this package registers everything that inference needs in MMSegmentation's registries;
``cpm_avs.training`` registers the rest. In a checkout it is ``projects.cpm_avs``, too.
"""

import contextlib
import io
import warnings

from .garbage import no_garbage

with no_garbage():
    from .config_files import make_packages_findable, make_yaml_safe
    from .mmcv_ops import ensure_mmcv_ops
    from .safe_checkpoint import make_checkpoints_safe
    from .starting_weights import refuse_foreign_weights
    from .two_names import answer_to_both_names
    from .version import __version__
    from .work_folder import make_resuming_safe

    answer_to_both_names()
    ensure_mmcv_ops()  # before anything that imports mmcv.ops
    make_yaml_safe()
    make_packages_findable()
    make_checkpoints_safe()  # before anything that reads a file
    make_resuming_safe()
    refuse_foreign_weights()
    # MMDetection's pixel decoder calls it so, at each start of each tool.
    warnings.filterwarnings("ignore", "torch.meshgrid: in an upcoming release", UserWarning)
    # bag_sampling.py needs of it what has been there for years.
    warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
    # mmseg's hook says so of its own default.
    warnings.filterwarnings("ignore", "The draw is False", UserWarning)
    # It prints that it has no OneDL, a dataset format that nothing here needs.
    with contextlib.redirect_stdout(io.StringIO()):
        import mmseg.datasets  # noqa: F401

    from . import datasets, evaluation, models, visualization  # noqa: F401
    from .inference import AVSInferencer

__all__ = ["AVSInferencer", "__version__"]
