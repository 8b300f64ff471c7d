"""A published Mask2Former, the decoder included, to what sees in CPM.

All of TD-V is Mask2Former's decoder: the same layers in the same order of scales, its queries, its
norm and the network that draws the masks. What Mask2Former lacks (TD-A, audio backbone and decoder,
classifier, prompts) starts anew; its own classifier, which names other classes, is left out.
"""

from collections.abc import Mapping

from torch import Tensor

from .converters import StateDict

# Of mmseg's models for ADE20K and mmdet's for COCO.
HEADS = ("decode_head.", "panoptic_head.")
# Ours by the published, in the head.
_PARTS = {
    "pixel_decoder.": "pixel_decoder.",
    "transformer_decoder.layers.": "decoder.visual_layers.",
    "transformer_decoder.post_norm.": "decoder.post_norm.",
    "level_embed.": "decoder.level_embed.",
    "mask_embed.": "decoder.mask_embed.",
    "query_embed.": "query_embed.",
    "query_feat.": "query_feat.",
}
LEFT_OUT = ("cls_embed.",)


def mask2former(state: Mapping[str, Tensor]) -> StateDict:
    """Mask2Former of mmseg or mmdet to ``backbone.*`` and ``decode_head.*`` of ``AVSegmentor``.

    Raises:
        ValueError: A key that is no part of a Mask2Former.
    """
    renamed: StateDict = {}
    for key, value in state.items():
        head = next((prefix for prefix in HEADS if key.startswith(prefix)), "")
        name = key.removeprefix(head)
        part = next((part for part in _PARTS if head and name.startswith(part)), None)
        if key.startswith("backbone."):
            renamed[key] = value
        elif part is not None:
            renamed[f"decode_head.{_PARTS[part]}{name.removeprefix(part)}"] = value
        elif not (head and name.startswith(LEFT_OUT)):
            raise ValueError(f"{key} is no part of a Mask2Former of MMSegmentation or MMDetection")
    return renamed
