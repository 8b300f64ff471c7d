"""Published checkpoints of the methods to compare with, whole models, for ``configs/baselines``."""

from collections.abc import Callable
from pathlib import Path

from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn

from ..config_files import read_config_file
from ..errors import looked_for
from ..safe_checkpoint import load_safely
from .avsegformer_converter import avsegformer
from .cavp_converter import cavp
from .converters import StateDict
from .recipe import Recipe, from_file
from .tpavi_converter import tpavi, with_sound

#: As the configs name it.
VGGISH = Path("weights/vggish-dense_audioset.pth")

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


def _tpavi(source: Path) -> StateDict:
    """With VGGish, which TPAVI's own files lack."""
    state = from_file(tpavi)(source)
    if not VGGISH.is_file():
        raise ValueError(
            f"{source.name} is without VGGish, and {VGGISH}{looked_for(VGGISH)} is not there: make "
            "it with tools/prepare_weights.py vggish-dense --src vggish-10086976.pth"
        )
    return with_sound(state, load_safely(VGGISH))


def _tpavi_model(state: StateDict) -> nn.Module:
    backbone = "r50" if "backbone.conv1.weight" in state else "pvtv2-b5"
    data = "s4" if "decode_head.attention.0.align.bias" in state else "avss"
    channels = len(state.get("decode_head.classifier.4.weight", "?"))
    return model_of(f"tpavi_{backbone}_{data}-224", max(channels, 2))  # a logit is two classes


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
    "tpavi": Recipe(
        output="tpavi_{source}.pth",
        origin="TPAVI for S4, MS3 or AVSS with ResNet-50 or PVTv2-B5, of "
        "https://github.com/OpenNLPLab/AVSBench",
        licence="ask its authors",
        network=_tpavi_model,
        convert=_tpavi,
    ),
}  # fmt: skip
