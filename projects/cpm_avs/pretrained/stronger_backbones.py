"""Recipes of what sees and hears better than the paper's backbones (docs/own-backbone.md)."""

from typing import Any

from torch import nn

from ..models.audio_backbones import HTSAT, Cnn14
from ..models.audio_backbones.panns_mel import HTSAT_32K, PANNS_16K
from ..models.image_backbones import DINOv2
from .audioset_converters import cnn14, htsat, same_bands
from .converters import StateDict
from .dinov2_converter import dinov2
from .mask2former_converter import mask2former
from .methods import model_of
from .recipe import Recipe, from_file


def _what_sees(_: StateDict) -> nn.Module:
    """CPM with Swin-B without the parts that a Mask2Former lacks."""
    model: Any = model_of("cpm_swin-b_avss", num_classes=2)
    head = model.decode_head
    head.decoder.audio_layers = nn.ModuleList()
    head.decoder.classifier = nn.Identity()
    return nn.ModuleDict(dict(backbone=model.backbone, decode_head=head))


STRONGER = {
    "cnn14": Recipe(
        output="cnn14_audioset.pth",
        origin="Cnn14_16k_mAP=0.438.pth of https://zenodo.org/record/3987831 (PANNs)",
        licence="CC-BY-4.0",
        network=lambda _: Cnn14(),
        convert=from_file(cnn14),
        check=same_bands(PANNS_16K),
    ),
    "htsat": Recipe(
        output="htsat_audioset.pth",
        origin="HTSAT_AudioSet_Saved_1.ckpt (to 6) of "
        "https://github.com/RetroCirce/HTS-Audio-Transformer",
        licence="MIT (code; none named for the weights)",
        network=lambda _: HTSAT(),
        convert=from_file(htsat),
        check=same_bands(HTSAT_32K),
    ),
    "dinov2-b": Recipe(
        output="dinov2-b_lvd142m.pth",
        origin="https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
        licence="Apache-2.0",
        network=lambda _: DINOv2(arch="base").vit,
        convert=from_file(dinov2),
    ),
    "mask2former-swin-b": Recipe(
        output="mask2former-swin-b.pth",
        origin="Mask2Former with Swin-B and 100 queries: mmsegmentation's for ADE20K "
        "(mask2former_swin-b-in22k-384x384-pre_8xb2-160k_ade20k-640x640) or mmdetection's for "
        "COCO panoptic (mask2former_swin-b-p4-w12-384*)",
        licence="Apache-2.0",
        network=_what_sees,
        convert=from_file(mask2former),
    ),
}
