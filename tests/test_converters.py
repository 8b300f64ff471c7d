"""Published weights to ours: every key name, and that the numbers mean the same."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from mmseg.models.backbones import MobileNetV2, ResNet
from mmseg.registry import MODELS
from published_weights import (
    EfficientNetLite2,
    State,
    keras_yamnet,
    lively,
    pvt_v2,
    timm_resnet50s,
    tonylins_mobilenet,
    torchvggish,
    torchvision_resnet,
)
from torch.nn import functional as F

from projects.cpm_avs.models.audio_backbones import AudioResNet, YAMNet
from projects.cpm_avs.models.cpm.mask_pooled_classifier import MaskPooledClassifier
from projects.cpm_avs.models.image_backbones import EfficientNetLite
from projects.cpm_avs.pretrained import converters
from projects.cpm_avs.pretrained.mobilenet_reference import mobilenet_v2_features
from projects.cpm_avs.pretrained.recipes import RECIPES
from projects.cpm_avs.pretrained.yamnet_tagger import YAMNetTagger


@pytest.mark.parametrize(
    ("name", "convert", "state"),
    [
        ("resnet18", converters.resnet, lambda: torchvision_resnet((2, 2, 2, 2), 1)),
        ("resnet50", converters.resnet, lambda: torchvision_resnet((3, 4, 6, 3), 4)),
        ("resnet50s", converters.deep_stem_resnet, timm_resnet50s),
        ("vggish", converters.vggish, torchvggish),
        ("vggish-dense", converters.vggish_dense, lambda: torchvggish(dense=True)),
        (
            "pvtv2-b5",
            converters.pvt_v2,
            lambda: pvt_v2((64, 128, 320, 512), (3, 6, 40, 3), (4, 4, 4, 4)),
        ),
    ],
)
def test_the_full_networks_take_the_converted_names(
    name: str, convert: Callable[[State], State], state: Callable[[], State]
) -> None:
    with torch.device("meta"):  # names and shapes only: no memory
        converted = convert(state())
    RECIPES[name].network(converted).load_state_dict(converted, strict=True, assign=True)


def test_resnets_numbers_stay() -> None:
    state = torchvision_resnet((2, 2, 2, 2), 1)
    for network in (ResNet(18), AudioResNet()):
        network.load_state_dict(converters.resnet(state), strict=True)
        assert torch.equal(network.layer3[1].conv2.weight, state["layer3.1.conv2.weight"])
    expected = state["conv1.weight"].sum(1)
    torch.testing.assert_close(network.conv1.weight[:, 0], expected)  # AudioResNet, one channel


def test_pvt_joins_query_key_and_value() -> None:
    state = pvt_v2((32, 64, 160, 256), (1, 1, 1, 1), (8, 8, 4, 4))
    converted = converters.pvt_v2(state)
    network = MODELS.build(
        dict(
            type="mmdet.PyramidVisionTransformerV2",
            embed_dims=32,
            num_layers=[1, 1, 1, 1],
            mlp_ratios=(8, 8, 4, 4),
        )
    )
    network.load_state_dict(converted, strict=True)
    found = converted["layers.2.1.0.attn.attn.in_proj_weight"]
    expected = [state[f"block3.0.attn.{name}.weight"] for name in ("q", "kv")]
    assert torch.equal(found, torch.cat(expected))
    # mmdet converts a file again when it loads it as init_cfg: nothing may change then.
    assert converters.pvt_v2(converted).keys() == converted.keys()


def test_mobilenet_gives_the_authors_maps() -> None:
    authors = tonylins_mobilenet()
    state = {f"features.{key}": value for key, value in authors.state_dict().items()}
    left = {"features.18.0.weight": torch.rand(1280, 320, 1, 1), "classifier.1.bias": torch.rand(9)}
    network = MobileNetV2()
    network.load_state_dict(converters.mobilenet_v2(state | left), strict=True)
    network.eval()
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        maps = network(image)
        for index, x in zip((3, 6, 13, 17), maps, strict=True):
            torch.testing.assert_close(x, authors[: index + 1](image), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(mobilenet_v2_features(state, image), maps[-1])
    assert [image.shape[-1] // x.shape[-1] for x in maps] == [4, 8, 16, 32]


def test_efficientnet_gives_the_authors_maps() -> None:
    authors = lively(EfficientNetLite2())
    network = EfficientNetLite(arch="lite2")
    state = converters.efficientnet_lite(authors.state_dict(), arch="lite2")
    network.load_state_dict(state, strict=True)
    network.eval()
    # A side of each kind: 90 is odd from stride 2 on. Bright enough to meet the 6 of ReLU6.
    image = 100 * torch.randn(2, 3, 64, 90)
    classifier = MaskPooledClassifier(
        num_classes=1001, in_channels=352, source_classes=[[number] for number in range(1000)]
    ).eval()
    state = converters.efficientnet_lite_classifier(authors.state_dict())
    classifier.load_state_dict(state, strict=True)
    with torch.no_grad():
        deepest = network(image)[-1]
        everything = torch.full((2, 1, *deepest.shape[-2:]), torch.inf)
        shares = classifier.shares(everything, deepest)[:, 0]
        torch.testing.assert_close(shares, authors(image).softmax(-1), atol=1e-5, rtol=1e-3)
        expected = authors.maps(image)
        for index, x in zip((3, 6, 14, 20), network(image), strict=True):
            torch.testing.assert_close(x, expected[index], atol=1e-4, rtol=1e-4)


def test_yamnets_kernels_are_turned_from_tensorflows_layout() -> None:
    arrays = keras_yamnet()
    state = converters.yamnet(arrays)
    tagger = YAMNetTagger()
    tagger.load_state_dict(state, strict=True)
    YAMNet().load_state_dict(state, strict=True)
    kernels = [value for key, value in arrays.items() if "kernel" in key]
    # Position (5, 7) of a convolution is the sum over the patch of height, width and channels.
    x = np.random.default_rng(1).random((8, 9, 1)).astype(np.float32)
    image = torch.from_numpy(x).permute(2, 0, 1)[None]
    found = F.conv2d(image, state["layers.0.conv.weight"])[0, :, 5, 6].numpy()
    np.testing.assert_allclose(found, np.einsum("hwi,hwio->o", x[5:8, 6:9], kernels[0]), rtol=1e-5)
    x = np.random.default_rng(1).random((3, 3, 32)).astype(np.float32)
    image = torch.from_numpy(x).permute(2, 0, 1)[None]
    found = F.conv2d(image, state["layers.1.0.conv.weight"], groups=32)[0, :, 0, 0].numpy()
    np.testing.assert_allclose(found, np.einsum("hwi,hwim->i", x, kernels[1]), rtol=1e-5)
    np.testing.assert_array_equal(state["layers.1.1.conv.weight"][:, :, 0, 0].T, kernels[2][0, 0])
    assert state["layers.13.1.norm.weight"].eq(1).all() and kernels[-1].shape == (1024, 521)


def test_another_saved_model_is_refused() -> None:
    arrays = dict(list(keras_yamnet().items())[:-20])
    with pytest.raises(ValueError, match="layers with weights instead of YAMNet's 55"):
        converters.yamnet(arrays)
