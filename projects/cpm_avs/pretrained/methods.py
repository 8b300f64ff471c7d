"""Published checkpoints of the methods to compare with, whole models, for ``configs/baselines``."""

from collections.abc import Callable

from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn

from ..config_files import read_config_file
from .avsegformer_converter import avsegformer
from .cavp_converter import cavp
from .converters import StateDict
from .recipe import Recipe, from_file

_TRAINING = "cpm_avs.training"
_CLASSIFIER = "decode_head.classifier.weight"


def model_of(config: str, num_classes: int) -> nn.Module:
    """A config's model for inference, with another number of classes."""
    settings = read_config_file(config, leave_out=_TRAINING).model
    settings.criterion = settings.backbone.init_cfg = settings.audio_backbone.init_cfg = None
    settings.decode_head.num_classes = num_classes
    init_default_scope("mmseg")
    return MODELS.build(settings)


def _cavp_model(state: StateDict) -> nn.Module:
    stereo = state.get("audio_backbone.conv1.weight")
    config = "cavp_r50_avss-224" if stereo is None else "cavp_r50_vpo-ss"
    # Without a classifier it is not CAVP's, which the strict loading says.
    return model_of(config, len(state.get(_CLASSIFIER, "?")))


def _avsegformer_model(state: StateDict) -> nn.Module:
    backbone = "pvtv2-b5" if "backbone.layers.0.0.projection.weight" in state else "r50"
    channels = len(state.get("decode_head.classifier.4.weight", "?"))
    return model_of(f"avsegformer_{backbone}_avss-224", max(channels, 2))  # a logit is two classes


def _method(
    name: str, convert: Callable[[StateDict], StateDict], network: Callable[[StateDict], nn.Module],
    origin: str,
) -> Recipe:  # fmt: skip
    return Recipe(
        output=f"{name}_{{source}}.pth",
        origin=origin,
        licence="none given: ask its authors",
        network=network,
        convert=from_file(convert),
    )


METHODS = {
    "avsegformer": _method(
        "avsegformer", avsegformer, _avsegformer_model, "S4, MS3 or AVSS with ResNet-50 or "
        "PVTv2-B5, from August 2023 on, of https://github.com/vvvb-github/AVSegFormer",
    ),
    "cavp": _method(
        "cavp", cavp, _cavp_model, "avss-224, avsbench-object-ss-224 or avsbench-object-ms-224 of "
        "https://github.com/cyh-0/CAVP",
    ),
}  # fmt: skip
