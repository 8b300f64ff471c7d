"""DINOv2's published ViTs to mmseg's VisionTransformer, inside our adapter.

In DINOv2 a layer adds gamma * (W h + b), with a learned gamma for each channel; here it adds
(gamma W) h + gamma b, which is the same.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from .converters import StateDict

_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")
_OUTSIDE = {
    "cls_token": "cls_token",
    "pos_embed": "pos_embed",
    "patch_embed.proj.weight": "patch_embed.projection.weight",
    "patch_embed.proj.bias": "patch_embed.projection.bias",
    "norm.weight": "ln1.weight",
    "norm.bias": "ln1.bias",
}
# A layer's, with the factor that goes into it.
_INSIDE = {
    "norm1.weight": ("ln1.weight", None),
    "norm1.bias": ("ln1.bias", None),
    "attn.qkv.weight": ("attn.attn.in_proj_weight", None),
    "attn.qkv.bias": ("attn.attn.in_proj_bias", None),
    "attn.proj.weight": ("attn.attn.out_proj.weight", "ls1.gamma"),
    "attn.proj.bias": ("attn.attn.out_proj.bias", "ls1.gamma"),
    "norm2.weight": ("ln2.weight", None),
    "norm2.bias": ("ln2.bias", None),
    "mlp.fc1.weight": ("ffn.layers.0.0.weight", None),
    "mlp.fc1.bias": ("ffn.layers.0.0.bias", None),
    "mlp.fc2.weight": ("ffn.layers.1.weight", "ls2.gamma"),
    "mlp.fc2.bias": ("ffn.layers.1.bias", "ls2.gamma"),
}
# The first stands for hidden patches in DINOv2's own training alone.
_LEFT_OUT = ("mask_token",)
_FACTORS = ("ls1.gamma", "ls2.gamma")


def dinov2(state: Mapping[str, Tensor]) -> StateDict:
    """facebookresearch/dinov2, without registers, to mmseg's VisionTransformer.

    Args:
        state: ``dinov2_vit{s,b,l}14_pretrain.pth``.

    Returns:
        For ``DINOv2.vit``.

    Raises:
        ValueError: Keys that DINOv2's ViTs without registers don't have.
    """
    renamed: StateDict = {}
    unknown = []
    for key, value in state.items():
        inside = _BLOCK.fullmatch(key)
        if inside and inside[2] in _INSIDE:
            name, factor = _INSIDE[inside[2]]
            if factor is not None:
                gamma = state[f"blocks.{inside[1]}.{factor}"]
                value = value * gamma.reshape(-1, *[1] * (value.dim() - 1))
            renamed[f"layers.{inside[1]}.{name}"] = value
        elif key in _OUTSIDE:
            renamed[_OUTSIDE[key]] = value
        elif key not in _LEFT_OUT and not (inside and inside[2] in _FACTORS):
            unknown.append(key)
    if unknown:
        raise ValueError(
            f"{unknown[0]} and {len(unknown) - 1} other keys are none of DINOv2's ViT-S, B or L "
            "without registers"
        )
    return renamed
