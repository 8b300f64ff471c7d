"""PANNs' Cnn14 and HTS-AT (AudioSet) to ours, and the check of the bands that they hear."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from mmdet.models.backbones.swin import swin_converter
from torch import Tensor, nn

from ..models.audio_backbones.panns_mel import MelFrontEnd
from ..models.spectrogram import NUM_BINS
from ..safe_checkpoint import load_safely, weights_of
from .converters import StateDict

_FRONT_END = ("spectrogram_extractor.", "logmel_extractor.")
_MEL = "logmel_extractor.melW"
# Behind the maps that ours gives: Cnn14's sixth block and classifier; HTS-AT's fourth stage, its
# norm and classifiers.
_BEHIND_CNN14 = ("conv_block6.", "fc1.", "fc_audioset.")
_BEHIND_HTSAT = ("layers.2.downsample.", "layers.3.", "norm.", "tscam_conv.", "head.")
_LIGHTNING = "sed_model."


def cnn14(state: Mapping[str, Tensor]) -> StateDict:
    """qiuqiangkong/audioset_tagging_cnn to our Cnn14.

    Raises:
        ValueError: A key that is none of Cnn14's.
    """
    renamed: StateDict = {}
    for key, value in state.items():
        block, _, rest = key.partition(".")
        if key.startswith("bn0."):
            renamed[key] = value
        elif block in {f"conv_block{number}" for number in range(1, 6)}:
            renamed[f"blocks.{int(block[-1]) - 1}.{rest}"] = value
        elif not key.startswith((*_FRONT_END, *_BEHIND_CNN14)):
            raise ValueError(f"{key} is no part of PANNs' Cnn14")
    return renamed


def htsat(state: Mapping[str, Tensor]) -> StateDict:
    """RetroCirce/HTS-Audio-Transformer to our HTSAT; the norms of its maps, which are new, as 1, 0.

    Raises:
        ValueError: A key that is none of HTS-AT's.
    """
    renamed: StateDict = {}
    body: StateDict = {}
    for whole, value in state.items():
        key = whole.removeprefix(_LIGHTNING)
        if key.startswith("bn0."):
            renamed[key] = value
        elif key.startswith((*_FRONT_END, *_BEHIND_HTSAT)) or key.endswith(".attn_mask"):
            continue  # the mask of shifted windows is made anew for each picture
        elif key.startswith(("patch_embed.", "layers.")):
            body[key] = value
        else:
            raise ValueError(f"{whole} is no part of HTS-AT")
    for key, value in swin_converter(body).items():
        renamed[f"swin.{key.removeprefix('backbone.')}"] = value
    for index in range(3):
        like = body.get(f"layers.{index}.blocks.0.norm1.weight")
        if like is None:
            raise ValueError(f"there is no layers.{index}: this is another network than HTS-AT")
        renamed[f"swin.norm{index}.weight"] = torch.ones_like(like)
        renamed[f"swin.norm{index}.bias"] = torch.zeros_like(like)
    return renamed


def same_bands(front_end: MelFrontEnd) -> Callable[[nn.Module, Path], str]:
    """The check that a file's own mel filters are those that the network gets here."""

    def check(_: nn.Module, source: Path) -> str:
        content = load_safely(source)
        state = weights_of(content.get("model", content), source)
        key = next((key for key in state if key.endswith(_MEL)), None)
        if key is None:
            return "without mel filters to compare ours with"
        ours = front_end.filters() / front_end.level
        difference = float((state[key][:NUM_BINS] - ours).abs().max() / ours.max())
        if difference > 1e-4:
            raise ValueError(
                f"its mel filters ({key}) differ from ours by {difference:.2g} of the highest: it "
                "was trained with another front end"
            )
        return f"its own mel filters are ours (largest difference {difference:.2g})"

    return check
