"""AVSegFormer against numbers of its original code, its losses, its checkpoints, its schedule."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from config_leaves import BASELINES
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from peer_rule import (
    Drawn,
    Unfilled,
    assert_agrees,
    checkpoint,
    coarse_truth,
    frames,
    load_numbers,
    log_mel,
    weight,
)
from torch import Tensor, nn

from projects.cpm_avs.models.audio_backbones import vggish_embedding
from projects.cpm_avs.models.baselines import AVSegFormerHead
from projects.cpm_avs.models.baselines.avsegformer_layers import ChannelGate
from projects.cpm_avs.pretrained import methods
from projects.cpm_avs.pretrained.avsegformer_converter import UNUSED, avsegformer
from projects.cpm_avs.pretrained.methods import METHODS
from projects.cpm_avs.pretrained.prepare import prepare
from projects.cpm_avs.safe_checkpoint import load_safely
from projects.cpm_avs.structures import DenseOutput
from projects.cpm_avs.training.baselines import AVSegFormerCriterion
from projects.cpm_avs.training.baselines.avsegformer_criterion import mask_dice
from projects.cpm_avs.training.hooks import FreezeHook

VARIANTS = {
    "r50_s4": "avsegformer_r50_s4-224",
    "r50_avss": "avsegformer_r50_avss-224",
    "pvt_s4": "avsegformer_pvtv2-b5_s4-224",
}


def model_of(config: str) -> nn.Module:
    """A config's model with memory for its weights, but no numbers in it yet."""
    init_default_scope("mmseg")
    settings = Config.fromfile(BASELINES / f"{config}.py").model
    settings.criterion = settings.backbone.init_cfg = settings.audio_backbone.init_cfg = None
    with Unfilled():
        backbone = MODELS.build(settings.backbone)  # PVTv2 reads numbers while it is built
    settings.backbone = dict(type="ResNet", depth=18)
    with torch.device("meta"):
        model = MODELS.build(settings)
    model.backbone = backbone
    return model.eval()


def loaded(name: str, drawn: Drawn) -> tuple[nn.Module, dict[str, Any]]:
    numbers = load_numbers(f"avsegformer_{name}")
    keys = {key: shape for key, shape in numbers["keys"].items() if not key.startswith(UNUSED)}
    model = model_of(VARIANTS[name])
    model.load_state_dict(avsegformer(checkpoint(keys, drawn)), strict=True, assign=True)
    return model, numbers


@torch.no_grad()
def run(model: nn.Module, pictures: Tensor, sounds: Tensor) -> dict[str, Tensor]:
    """What the parts give, by their names in the head, and ``classified``, what goes in last."""
    head, found = model.decode_head, {}

    def keep(name: str) -> Any:
        return lambda module, inputs, output: found.__setitem__(name, output)

    parts = dict(head.named_modules())
    names = ["audio_proj", "query_generator", "encoder.0.norms.1", "encoder.5.norms.1"]
    names += [f"input_convs.{k}" for k in range(4)] + [f"decoder.{k}" for k in range(6)]
    handles = [
        parts[name].register_forward_hook(keep(name))
        for name in (*names, "lateral_conv", "output_conv", "query_mixer")
    ]
    handles.append(
        head.classifier.register_forward_pre_hook(
            lambda module, inputs: found.__setitem__("classified", inputs[0].clone())
        )
    )
    maps = model.backbone(pictures)
    sound = model.audio_backbone.embed(sounds)
    output = head(maps, (sound[..., None, None],))
    for handle in handles:
        handle.remove()
    found |= {f"backbone.{level}": one for level, one in enumerate(maps)}
    found["audio_proj"] = found["audio_proj"].unsqueeze(1)
    return found | dict(sound=sound, logits=output.logits, mask_features=output.features[0])


@pytest.mark.parametrize("name", VARIANTS)
def test_names_and_number_of_parameters_are_the_published(name: str) -> None:
    numbers, model = load_numbers(f"avsegformer_{name}"), model_of(VARIANTS[name])
    published = {key: torch.empty(shape, device="meta") for key, shape in numbers["keys"].items()}
    own = {key: value.shape for key, value in model.state_dict().items()}
    assert {key: value.shape for key, value in avsegformer(published).items()} == own
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    unused = {key: value for key, value in published.items() if key.startswith(UNUSED)}
    assert {key.split(".")[1] for key in unused} <= {
        part.split(".")[1] for part in numbers["parameters"]["never_used"]
    }
    left_out = sum(one.numel() for key, one in unused.items() if not key.endswith(statistics))
    total = sum(one.numel() for one in model.parameters()) + left_out
    assert total == numbers["parameters"]["model"]
    learned = sum(one.numel() for one in model.parameters() if one.requires_grad)
    # VGGish is frozen; a backward pass reaches all the rest.
    assert learned == numbers["parameters"]["with_gradient"]


@pytest.fixture(scope="module")
def r50(drawn: Drawn) -> Iterator[SimpleNamespace]:
    """The network for S4 and MS3, with what it gives for five frames."""
    model, numbers = loaded("r50_s4", drawn)
    yield SimpleNamespace(model=model, numbers=numbers, found=run(model, frames(), log_mel()))


def check(found: Mapping[str, Tensor], case: Mapping[str, Any]) -> None:
    assert {"backbone.3", "decoder.5", "logits", "mask_features"} <= case.keys()
    for name, numbers in case.items():
        assert_agrees(found[name], numbers, name)


def test_values_of_resnet(r50: SimpleNamespace) -> None:
    check(r50.found, r50.numbers["cases"]["main"])


@pytest.fixture(scope="module")
def of_71_classes(r50: SimpleNamespace) -> SimpleNamespace:
    """All but the last convolution is the same network with the same weights."""
    numbers = load_numbers("avsegformer_r50_avss")
    head = model_of(VARIANTS["r50_avss"]).decode_head
    last = weight("head.fc.4.weight", numbers["keys"]["head.fc.4.weight"])
    state = r50.model.decode_head.classifier.state_dict() | {"4.weight": last}
    head.classifier.load_state_dict(state, assign=True)
    with torch.no_grad():
        logits = head.classifier(r50.found["classified"])
    return SimpleNamespace(numbers=numbers, found=r50.found | dict(logits=logits))


def test_values_of_resnet_with_71_classes(of_71_classes: SimpleNamespace) -> None:
    cases, found = of_71_classes.numbers["cases"], of_71_classes.found
    check(found, cases["main"])
    # The original fills a clip up to ten frames and makes zeros of what it gives for them.
    for name, numbers in cases["padded"].items():
        padded = torch.cat([found[name], torch.zeros_like(found[name])])
        assert_agrees(padded, numbers, f"padded {name}")


def test_values_at_512(r50: SimpleNamespace) -> None:
    """Of the first frame: frames do not see one another."""
    case = r50.numbers["cases"]["first_at_512"]
    found = run(r50.model, frames(size=512)[:1], log_mel()[:1])
    for name, numbers in case.items():
        values = found[name].flatten()
        for index, value in zip(numbers["indices"], numbers["samples"], strict=True):
            assert abs(float(values[index]) - value) < 1e-3 * numbers["std"], name


@pytest.mark.slow
def test_values_of_pvt(drawn: Drawn) -> None:
    model, numbers = loaded("pvt_s4", drawn)
    check(run(model, frames(), log_mel()), numbers["cases"]["main"])


def losses_of(found: Mapping[str, Tensor], truth: Tensor, num_classes: int) -> dict[str, float]:
    criterion = AVSegFormerCriterion(num_classes=num_classes)
    output = DenseOutput(found["logits"], (found["mask_features"],))
    losses = criterion.losses_of(output, truth)
    return {name: float(value) for name, value in losses.items()}


def first_alone(truth: Tensor) -> Tensor:
    """Only the first frame has a label."""
    return torch.cat([truth[:1], torch.full_like(truth[1:], 255)])


@pytest.mark.parametrize(("name", "labelled"), [("s4", first_alone), ("ms3", Tensor.clone)])
def test_losses_of_two_classes(r50: SimpleNamespace, name: str, labelled: Any) -> None:
    found = losses_of(r50.found, labelled(coarse_truth(2)), 2)
    expected = r50.numbers["losses"][name]
    assert found["loss_dice"] == pytest.approx(expected["iou_loss"], rel=1e-5)
    assert found["loss_mix"] == pytest.approx(expected["mix_loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("name", "labelled"), [("avss", Tensor.clone), ("avss_first", first_alone)]
)
def test_losses_of_71_classes(of_71_classes: SimpleNamespace, name: str, labelled: Any) -> None:
    found = losses_of(of_71_classes.found, labelled(coarse_truth(71)), 71)
    expected = of_71_classes.numbers["losses"][name]
    assert found["loss_ce"] == pytest.approx(expected["iou_loss"], rel=1e-5)
    assert found["loss_mix"] == pytest.approx(expected["mix_loss"], rel=1e-5)


def test_dice_by_hand() -> None:
    """p = (1/2, 3/4, 1/4) of which the third has no label: 1 - 2 (1/2) / (13/16 + 1 + 2/1000)."""
    logits = torch.tensor([0.0, 3.0, 1 / 3]).log()
    logits[0] = 0.0
    truth = torch.tensor([[[5, 0, 255]]])
    expected = 1 - 1 / (13 / 16 + 1 + 0.002)
    assert float(mask_dice(logits.view(1, 1, 3), truth)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_without_a_label_losses_are_zero_with_a_live_graph(num_classes: int) -> None:
    channels = 1 if num_classes == 2 else num_classes
    logits = torch.randn(2, channels, 16, 16, requires_grad=True)
    features = torch.randn(2, 8, 4, 4, requires_grad=True)
    truth = torch.full((2, 16, 16), 255)
    criterion = AVSegFormerCriterion(num_classes=num_classes)
    losses = criterion.losses_of(DenseOutput(logits, (features,)), truth)
    total = sum(losses.values())
    total.backward()
    assert total == 0 and not logits.grad.any() and not features.grad.any()


def test_frames_without_a_label_have_no_part() -> None:
    generator = torch.Generator().manual_seed(0)
    output = DenseOutput(
        torch.randn(4, 3, 16, 16, generator=generator),
        (torch.randn(4, 8, 4, 4, generator=generator),),
    )
    truth = torch.randint(0, 3, (4, 16, 16), generator=generator)
    samples = [SegDataSample(metainfo=dict(img_path=f"{k}.png")) for k in range(4)]
    for frame in (1, 2):
        samples[frame].gt_sem_seg = PixelData(data=truth[frame : frame + 1])
    truth[[0, 3]] = 255
    model = SimpleNamespace(encode_decode=lambda inputs, metas: output)
    criterion = AVSegFormerCriterion(num_classes=3)
    found = criterion(model, {}, samples)
    assert found == criterion.losses_of(output, truth) and found["loss_ce"] > 0
    alone = DenseOutput(output.logits[1:3], (output.features[0][1:3],))
    assert found == criterion.losses_of(alone, truth[1:3])
    assert sum(criterion(model, {}, samples[:1] * 4).values()) == 0
    with pytest.raises(ValueError, match="the label 2, but the model has 2 classes"):
        AVSegFormerCriterion(num_classes=2)(model, {}, samples)


def small_head(**settings: Any) -> AVSegFormerHead:
    torch.manual_seed(0)
    return AVSegFormerHead(
        in_channels=[8, 8, 8, 8], audio_channels=6, num_classes=3, embed_dims=32, num_queries=5,
        num_layers=2, feedforward_channels=16, **settings,
    )  # fmt: skip


def small_inputs(batch: int) -> tuple[list[Tensor], tuple[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    maps = [torch.randn(batch, 8, side, side, generator=generator) for side in (16, 8, 4, 2)]
    return maps, (torch.randn(batch, 6, 3, 2, generator=generator),)


def test_frames_do_not_see_one_another() -> None:
    """One frame at a time, which the original can't do, is all of them together."""
    head = small_head().eval()
    maps, sounds = small_inputs(3)
    together = head(maps, sounds)
    for frame in range(3):
        one = slice(frame, frame + 1)
        alone = head([level[one] for level in maps], (sounds[0][one],))
        torch.testing.assert_close(alone.logits, together.logits[one], rtol=1e-4, atol=1e-5)
    assert together.logits.shape == (3, 3, 64, 64)


def test_the_gate_by_head() -> None:
    torch.manual_seed(0)
    gate = ChannelGate(embed_dims=8, num_heads=2)
    x, sound = torch.randn(2, 8, 3, 4), torch.randn(2, 1, 8)
    cells = x.flatten(2).transpose(1, 2)
    query, (key, value) = gate.query(sound), gate.key_value(cells).chunk(2, -1)
    found = []
    for part in (slice(0, 4), slice(4, 8)):
        weights = (query[..., part] @ key[..., part].transpose(1, 2) / 2).softmax(-1)
        found.append(weights @ value[..., part])
    scale = gate.project(torch.cat(found, -1)).sigmoid()[:, 0]
    torch.testing.assert_close(gate(x, sound), x * scale[..., None, None])


def test_dropout_is_that_of_encoder_and_decoder() -> None:
    head = small_head()
    rates = {m.p for m in head.modules() if isinstance(m, nn.Dropout)}
    rates |= {m.dropout for m in head.modules() if isinstance(m, nn.MultiheadAttention)}
    assert rates == {0.0, 0.1}
    generator = head.query_generator
    assert {m.p for m in generator.modules() if isinstance(m, nn.Dropout)} == {0.0}
    maps, sounds = small_inputs(2)
    assert not torch.equal(head(maps, sounds).logits, head(maps, sounds).logits)
    without = small_head(dropout=0.0)
    assert torch.equal(without(maps, sounds).logits, without(maps, sounds).logits)


def test_a_hook_freezes_for_the_first_epochs() -> None:
    model = nn.ModuleDict(dict(backbone=nn.Linear(2, 2), head=nn.Linear(2, 2)))
    model["backbone"].bias.requires_grad_(False)
    runner = SimpleNamespace(model=model, epoch=0)
    hook = FreezeHook(part="backbone", epochs=2)
    hook.before_train(runner)
    seen = []
    for runner.epoch in range(4):
        hook.before_train_epoch(runner)
        seen.append([one.requires_grad for one in model.parameters()])
    frozen, learning = [False, False, True, True], [True, False, True, True]
    assert seen == [frozen, frozen, learning, learning]
    with pytest.raises(ValueError, match="part='neck'.: the model has backbone, head"):
        FreezeHook(part="neck", epochs=2).before_train(runner)
    with pytest.raises(ValueError, match="epochs is -1"):
        FreezeHook(part="backbone", epochs=-1)


def small_model() -> nn.Module:
    """Fewer of all that a checkpoint may have fewer of without other names."""
    init_default_scope("mmseg")
    settings = Config.fromfile(BASELINES / "avsegformer_r50_s4-224.py").model
    settings.criterion = settings.audio_backbone.init_cfg = None
    settings.backbone.update(base_channels=8, init_cfg=None)
    settings.decode_head.update(
        in_channels=[32, 64, 128, 256], audio_channels=128, embed_dims=32, num_queries=5,
        num_layers=1, feedforward_channels=16,
    )  # fmt: skip
    return MODELS.build(settings)


def test_a_published_file_is_converted_and_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vggish_embedding, "HIDDEN", 8)
    model = small_model()
    asked: list[tuple[str, int]] = []
    keys = load_numbers("avsegformer_r50_s4")["keys"]
    used = [key for key in keys if not key.startswith(UNUSED)]
    published = {name: key for key in used for name in avsegformer({key: torch.empty(0)})}
    state = {published[name]: value for name, value in model.state_dict().items()}
    unused = {key: torch.zeros(1) for key in keys if key.startswith(UNUSED)}
    torch.save(state | unused, tmp_path / "S4_best.pth")

    def model_of(config: str, num_classes: int) -> nn.Module:
        asked.append((config, num_classes))
        return small_model()

    monkeypatch.setattr(methods, "model_of", model_of)
    path, finding = prepare("avsegformer", source=tmp_path / "S4_best.pth", out_dir=tmp_path)
    assert path.name == "avsegformer_S4_best.pth" and "none missing and none left" in finding
    assert asked == [("avsegformer_r50_avss-224", 2)]
    weights = load_safely(path)
    assert all(value.equal(weights[name]) for name, value in model.state_dict().items())

    for broken in (dict(state, extra=torch.zeros(1)), dict(list(state.items())[1:])):
        torch.save(broken, tmp_path / "other.pth")
        with pytest.raises(ValueError, match="other.pth does not hold the weights of"):
            prepare("avsegformer", source=tmp_path / "other.pth", out_dir=tmp_path)


@pytest.mark.parametrize(("name", "classes"), [("pvt_s4", 2), ("r50_avss", 71)])
def test_the_kind_of_a_published_file_is_seen(
    name: str, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(methods, "model_of", lambda *settings: asked.append(settings))
    keys = load_numbers(f"avsegformer_{name}")["keys"].items()
    state = avsegformer({key: torch.empty(shape, device="meta") for key, shape in keys})
    METHODS["avsegformer"].network(state)
    backbone = "pvtv2-b5" if name.startswith("pvt") else "r50"
    assert asked == [(f"avsegformer_{backbone}_avss-224", classes)]
