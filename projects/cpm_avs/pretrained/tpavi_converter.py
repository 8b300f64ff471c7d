"""OpenNLPLab/AVSBench's names of a TPAVI checkpoint to those of a ``ClipSegmentor``."""

import re
from collections.abc import Mapping

from torch import Tensor

from .converters import StateDict, pvt_v2

#: Built and saved, and never run: a second branch of ResNet's stages 3 and 4, and what would take
#: from the coarsest level's coarser ones.
NEVER_RUN = ("resnet.layer3_2.", "resnet.layer4_2.", "path4.resConfUnit1.")
_PYRAMID = "encoder_backbone."
#: Levels count from 1 there, and from 0 here.
_LEVELS = {"conv": "reduce", "tpavi_b": "attention", "path": "fusion"}
_LEVEL = re.compile(r"(conv|tpavi_b|path)(\d)\.")
_PARTS = {
    "conv2d_list": "convs",
    "align_channel": "align",
    "norm_layer": "norm",
    "W_z": "out",
    "resConfUnit1": "lateral",
    "resConfUnit2": "merged",
}
_HEAD = "decode_head."


def tpavi(state: Mapping[str, Tensor]) -> StateDict:
    """All but the audio backbone, which a published checkpoint does not hold.

    What has another name than TPAVI's keeps it, and will fit nowhere.
    """
    kept = {key: value for key, value in state.items() if not key.startswith(NEVER_RUN)}
    pyramid = {key: value for key, value in kept.items() if key.startswith(_PYRAMID)}
    own = {key.removeprefix(_PYRAMID): value for key, value in pyramid.items()}
    renamed = {f"backbone.{key}": value for key, value in pvt_v2(own).items()} if own else {}
    for key, value in kept.items():
        if key not in pyramid:
            # Convolutions of 1 x 1 x 1 over a clip are those of 1 x 1 over its frames.
            renamed[_new_name(key)] = value.squeeze(-1) if value.ndim == 5 else value
    return renamed


def _new_name(key: str) -> str:
    if key.startswith("resnet."):
        return re.sub(r"^resnet\.(layer[34])_1\.", r"backbone.\1.", key).replace(
            "resnet.", "backbone.", 1
        )
    if key.startswith("output_conv."):
        return key.replace("output_conv.", f"{_HEAD}classifier.", 1)
    level = _LEVEL.match(key)
    if level is None:
        return key
    parts = [_PARTS.get(part, part) for part in key[level.end() :].split(".")]
    return ".".join([f"{_HEAD}{_LEVELS[level[1]]}", str(int(level[2]) - 1), *parts])


def with_sound(state: Mapping[str, Tensor], sound: Mapping[str, Tensor]) -> StateDict:
    """A model's weights, with those of VGGish for its audio backbone."""
    return {**state, **{f"audio_backbone.{key}": value for key, value in sound.items()}}
