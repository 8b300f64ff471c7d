"""Published weights under their authors' key names to the names of this project's backbones.

Every function takes a state_dict and returns a new one that its backbone loads with strict=True.
"""

import re
from collections.abc import Mapping
from itertools import accumulate

import torch
from mmdet.models.backbones.pvt import pvt_convert
from numpy.typing import NDArray
from torch import Tensor

from ..models.audio_backbones.yamnet import LAYERS
from ..models.image_backbones.efficientnet_lite import stage_depths

StateDict = dict[str, Tensor]

# Blocks in each of MobileNetV2's layers.
_MOBILENETV2_BLOCKS = (1, 2, 3, 4, 3, 3, 1)
# Names of a block's layers, ours by the published.
_EFFICIENTNET_LAYERS = {
    "_expand_conv": "expand_conv.conv",
    "_bn0": "expand_conv.bn",
    "_depthwise_conv": "depthwise_conv.conv",
    "_bn1": "depthwise_conv.bn",
    "_project_conv": "linear_conv.conv",
    "_bn2": "linear_conv.bn",
}
# Where the hub's module hangs in the SavedModel, and how Keras names a variable of it.
_YAMNET_VARIABLE = re.compile(r"(?:.*/)?layer_with_weights-(\d+)/(\w+)/\.ATTRIBUTES/VARIABLE_VALUE")


def resnet(state: Mapping[str, Tensor]) -> StateDict:
    """ResNet of torchvision to mmseg ResNet: the same names, without the classifier."""
    return _without(state, "fc.")


def deep_stem_resnet(state: Mapping[str, Tensor]) -> StateDict:
    """ResNet of timm with three convolutions for its first to mmseg's ResNetV1c; no classifier."""
    stem = {"conv1": "stem", "bn1": "stem.7"}
    renamed = {}
    for key, value in _without(state, "fc.").items():
        head, _, rest = key.partition(".")
        renamed[f"{stem.get(head, head)}.{rest}"] = value
    return renamed


def vggish(state: Mapping[str, Tensor]) -> StateDict:
    """VGGish of torchvggish to ours: ``features.*``, without the fully connected layers."""
    return _without(state, "embeddings.", "pproc.")


def vggish_dense(state: Mapping[str, Tensor]) -> StateDict:
    """All of torchvggish's VGGish, without its PCA."""
    return _without(state, "pproc.")


def pvt_v2(state: Mapping[str, Tensor]) -> StateDict:
    """whai362/PVT to mmdet's PyramidVisionTransformerV2."""
    return dict(pvt_convert(state))


def mobilenet_v2(state: Mapping[str, Tensor]) -> StateDict:
    """tonylins/pytorch-mobilenet-v2 to mmseg's MobileNetV2, without the last 1x1 convolution."""
    firsts = list(accumulate(_MOBILENETV2_BLOCKS, initial=1))
    renamed = {}
    for key, value in state.items():
        head, _, rest = key.partition(".")
        if head != "features":
            continue  # the classifier
        number, _, rest = rest.partition(".")
        block = int(number)
        if block == 0:
            renamed[f"conv1.{_conv_or_norm(rest)}"] = value
        elif block < firsts[-1]:
            layer = max(i for i, first in enumerate(firsts) if first <= block)
            # In a block the modules come in threes: convolution, normalisation, activation.
            index, _, name = rest.removeprefix("conv.").partition(".")
            unit, part = divmod(int(index), 3)
            new = f"layer{layer + 1}.{block - firsts[layer]}.conv.{unit}"
            renamed[f"{new}.{_conv_or_norm(f'{part}.{name}')}"] = value
    return renamed


def efficientnet_lite(state: Mapping[str, Tensor], *, arch: str) -> StateDict:
    """ml-illustrated/EfficientNet-Lite-PyTorch to ours, without the head; ``arch`` 'lite0' etc."""
    places = [
        f"stages.{stage}.{index}"
        for stage, depth in enumerate(stage_depths(arch))
        for index in range(depth)
    ]
    renamed = {}
    for key, value in state.items():
        module, _, rest = key.partition(".")
        if module == "_blocks":
            number, layer, name = rest.split(".")
            renamed[f"{places[int(number)]}.{_EFFICIENTNET_LAYERS[layer]}.{name}"] = value
        elif module in ("_conv_stem", "_bn0"):
            renamed[f"stem.{'bn' if module == '_bn0' else 'conv'}.{rest}"] = value
    return renamed


def efficientnet_lite_classifier(state: Mapping[str, Tensor]) -> StateDict:
    """What ``efficientnet_lite`` leaves out, to the ``MaskPooledClassifier`` of all its classes."""
    places = {"_conv_head": "head.conv", "_bn1": "head.bn", "_fc": "classifier"}
    renamed = {}
    for key, value in state.items():
        module, _, rest = key.partition(".")
        if module in places:
            renamed[f"{places[module]}.{rest}"] = value
    return renamed


def yamnet(variables: Mapping[str, NDArray]) -> StateDict:
    """Variables of YAMNet's SavedModel to YAMNetTagger; the backbone takes ``layers.*`` of it.

    Keras numbers the layers that have weights in their order: a convolution, its normalisation, and
    so on, and the dense classifier at the end. The normalisation has no scale, hence ones here.
    """
    by_layer: dict[int, dict[str, Tensor]] = {}
    for name, array in variables.items():
        if match := _YAMNET_VARIABLE.fullmatch(name):
            layer = by_layer.setdefault(int(match[1]), {})
            layer[match[2]] = torch.from_numpy(array)
    units = ["layers.0"] + [f"layers.{i}.{j}" for i in range(1, len(LAYERS)) for j in (0, 1)]
    if sorted(by_layer) != list(range(2 * len(units) + 1)):
        raise ValueError(
            f"{len(by_layer)} layers with weights instead of YAMNet's {2 * len(units) + 1}: "
            "this SavedModel is another network"
        )
    state: StateDict = {}
    for number, unit in enumerate(units):
        state[f"{unit}.conv.weight"] = _kernel(by_layer[2 * number])
        norm = by_layer[2 * number + 1]
        state[f"{unit}.norm.weight"] = torch.ones_like(norm["beta"])
        state[f"{unit}.norm.bias"] = norm["beta"]
        state[f"{unit}.norm.running_mean"] = norm["moving_mean"]
        state[f"{unit}.norm.running_var"] = norm["moving_variance"]
        state[f"{unit}.norm.num_batches_tracked"] = torch.tensor(0)
    dense = by_layer[2 * len(units)]
    state["classifier.weight"] = dense["kernel"].T.contiguous()
    state["classifier.bias"] = dense["bias"]
    return state


def _kernel(layer: Mapping[str, Tensor]) -> Tensor:
    """TensorFlow's (kh, kw, in, out) to (out, in, kh, kw); depthwise (kh, kw, in, 1)."""
    if "depthwise_kernel" in layer:
        return layer["depthwise_kernel"].permute(2, 3, 0, 1).contiguous()
    return layer["kernel"].permute(3, 2, 0, 1).contiguous()


def _conv_or_norm(key: str) -> str:
    part, _, name = key.partition(".")
    return f"{'conv' if part == '0' else 'bn'}.{name}"


def _without(state: Mapping[str, Tensor], *prefixes: str) -> StateDict:
    return {key: value for key, value in state.items() if not key.startswith(prefixes)}
