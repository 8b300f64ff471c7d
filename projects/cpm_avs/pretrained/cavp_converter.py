"""CAVP's published checkpoints to the names of the models of ``configs/baselines/cavp_*.py``."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# Published names and ours; the first that fits counts.
_RENAMED = [
    (re.compile(pattern), ours)
    for pattern, ours in (
        (r"backbone\.backbone\.conv1\.", "backbone.stem."),
        (r"backbone\.backbone\.bn1\.", "backbone.stem.7."),
        (r"backbone\.backbone\.", "backbone."),
        (r"audio_backbone\.backbone\.", "audio_backbone."),
        (r"segment\.aspp\.map_convs\.(\d)\.", r"decode_head.aspp.branches.\1.conv."),
        (r"segment\.aspp\.global_pooling_(conv|bn)\.", r"decode_head.aspp.image_pool.\1."),
        (r"segment\.aspp\.red_bn\.", "decode_head.aspp.bottleneck.bn."),
        (r"segment\.reduce\.0\.", "decode_head.reduce.conv."),
        (r"segment\.reduce\.1\.", "decode_head.reduce.bn."),
        (r"segment\.upsample\.last_conv\.0\.", "decode_head.last_convs.0.conv."),
        (r"segment\.upsample\.last_conv\.1\.", "decode_head.last_convs.0.bn."),
        (r"segment\.upsample\.last_conv\.3\.", "decode_head.last_convs.1.conv."),
        (r"segment\.upsample\.last_conv\.4\.", "decode_head.last_convs.1.bn."),
        (r"segment\.upsample\.classifier\.", "decode_head.classifier."),
        (r"visual_projector\.fc1\.", "decode_head.projector.layers.0.0."),
        (r"visual_projector\.fc2\.", "decode_head.projector.layers.1."),
        (r"cross_att\.patch_embed_v\.proj\.", "decode_head.fusion.embed_visual."),
        (r"cross_att\.patch_embed_a\.proj\.", "decode_head.fusion.embed_sound."),
        (r"cross_att\.blocks\.0\.mlp\.fc1\.", "decode_head.fusion.block.ffn.layers.0.0."),
        (r"cross_att\.blocks\.0\.mlp\.fc2\.", "decode_head.fusion.block.ffn.layers.1."),
        (r"cross_att\.blocks\.0\.", "decode_head.fusion.block."),
        (r"cross_att\.norm\.", "decode_head.fusion.norm."),
    )
]
# No result of theirs depends on these.
UNUSED = ("cross_att.pos_embed_v", "cross_att.pos_embed_a", "audio_backbone.cls_head.")
_SHARED_NORM = "segment.aspp.map_bn."
_REDUCED, _REDUCED_POOL = (f"segment.aspp.{name}.weight" for name in ("red_conv", "pool_red_conv"))


def cavp(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published state_dict to ours.

    One norm over all branches of ASPP becomes one for each, and the two convolutions whose results
    are added become one over both inputs. What no result depends on is left out; a name that CAVP
    does not have stays as it is.
    """
    renamed = {}
    for key, value in state.items():
        if key.startswith(_SHARED_NORM):
            name = key.removeprefix(_SHARED_NORM)
            parts = value.chunk(4) if value.dim() else [value] * 4
            for branch, part in enumerate(parts):
                renamed[f"decode_head.aspp.branches.{branch}.bn.{name}"] = part.clone()
        elif key == _REDUCED and _REDUCED_POOL in state:
            both = torch.cat([value, state[_REDUCED_POOL]], 1)
            renamed["decode_head.aspp.bottleneck.conv.weight"] = both
        elif key != _REDUCED_POOL and not key.startswith(UNUSED):
            renamed[_rename(key)] = value
    return renamed


def _rename(key: str) -> str:
    for pattern, ours in _RENAMED:
        found = pattern.match(key)
        if found:
            return found.expand(ours) + key[found.end() :]
    return key
