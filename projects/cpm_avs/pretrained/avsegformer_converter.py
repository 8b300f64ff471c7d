"""AVSegFormer's published checkpoints to the names of the models of ``configs/baselines``."""

import re
from collections.abc import Mapping

from torch import Tensor

from .converters import StateDict, pvt_v2

#: Saved with every checkpoint; no result of theirs depends on these.
UNUSED = ("backbone.layer3_2.", "backbone.layer4_2.", "head.fpn.", "head.attn_fc.")
# In turn: published beginnings of names, then what follows them in one of their layers.
_PARTS = (
    (r"vggish\.", "audio_backbone."),
    (r"backbone\.layer([34])_1\.", r"backbone.layer\1."),
    (r"audio_proj\.", "decode_head.audio_proj."),
    (r"head\.level_embed$", "decode_head.level_embed.weight"),
    (r"head\.learnable_query\.", "decode_head.query_embed."),
    (r"head\.in_proj\.(\d)\.0\.", r"decode_head.input_convs.\1.conv."),
    (r"head\.in_proj\.(\d)\.1\.", r"decode_head.input_convs.\1.gn."),
    (r"head\.transformer\.(encoder|decoder)\.layers\.", r"decode_head.\1."),
    (r"head\.lateral_conv\.0\.", "decode_head.lateral_conv.conv."),
    (r"head\.lateral_conv\.1\.", "decode_head.lateral_conv.gn."),
    (r"head\.out_conv\.0\.", "decode_head.output_conv.conv."),
    (r"head\.out_conv\.1\.", "decode_head.output_conv.gn."),
    (r"head\.fusion_block\.q_proj\.", "decode_head.gate.query."),
    (r"head\.fusion_block\.kv_proj\.", "decode_head.gate.key_value."),
    (r"head\.fusion_block\.proj\.", "decode_head.gate.project."),
    (r"head\.mlp\.layers\.0\.", "decode_head.query_mixer.0."),
    (r"head\.mlp\.layers\.1\.", "decode_head.query_mixer.2."),
    (r"head\.mlp\.layers\.2\.", "decode_head.query_mixer.4."),
    (r"head\.fc\.", "decode_head.classifier."),
    (r"head\.", "decode_head."),
)
_LAYERS = (
    (r"(\.encoder\.\d+)\.linear1\.", r"\1.ffn.layers.0.0."),
    (r"(\.encoder\.\d+)\.linear2\.", r"\1.ffn.layers.1."),
    (r"(\.encoder\.\d+)\.norm1\.", r"\1.norms.0."),
    (r"(\.encoder\.\d+)\.norm2\.", r"\1.norms.1."),
    (r"(\.layers\.\d+)\.ffn\.0\.", r"\1.linear1."),
    (r"(\.layers\.\d+)\.ffn\.2\.", r"\1.linear2."),
    (r"\.cross_attn\.", ".multihead_attn."),
)


def avsegformer(state: Mapping[str, Tensor]) -> StateDict:
    """vvvb-github/AVSegFormer to ours: any of its backbones and numbers of classes, with VGGish.

    Files from before August 2023 hold another network; their names fit no model.
    """
    used = {key: value for key, value in state.items() if not key.startswith(UNUSED)}
    backbone = {
        key.removeprefix("backbone."): value
        for key, value in used.items()
        if key.startswith("backbone.")
    }
    if "patch_embed1.proj.weight" not in backbone:
        return {_rename(key): value for key, value in used.items()}
    rest = {_rename(key): value for key, value in used.items() if not key.startswith("backbone.")}
    return {f"backbone.{key}": value for key, value in pvt_v2(backbone).items()} | rest


def _rename(key: str) -> str:
    for published, ours in _PARTS:
        renamed, found = re.subn(f"^{published}", ours, key)
        if found:
            key = renamed
            break
    for published, ours in _LAYERS:
        key = re.sub(published, ours, key)
    return key
