"""TPAVI against numbers of its original's: weights, all values on the way, and losses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
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
)
from torch import Tensor, nn

import projects.cpm_avs
import projects.cpm_avs.training  # noqa: F401  (registers the criterion)
from projects.cpm_avs.models.audio_backbones import VGGishEmbedding
from projects.cpm_avs.models.baselines.tpavi import TemporalAttention, pieces, shares
from projects.cpm_avs.models.clip_segmentor import clip_lengths
from projects.cpm_avs.pretrained import methods
from projects.cpm_avs.pretrained.methods import VGGISH
from projects.cpm_avs.pretrained.prepare import prepare
from projects.cpm_avs.pretrained.tpavi_converter import NEVER_RUN, tpavi
from projects.cpm_avs.safe_checkpoint import load_safely
from projects.cpm_avs.structures import DenseOutput

#: Networks, and the configs that build them.
NETWORKS = {
    "tpavi_r50_s4": "tpavi_r50_s4-224",
    "tpavi_r50_avss": "tpavi_r50_avss-224",
    "tpavi_pvt_s4": "tpavi_pvtv2-b5_s4-224",
    "tpavi_pvt_avss": "tpavi_pvtv2-b5_avss-224",
}
SOUND = ("features.", "embeddings.")
LEVELS = range(4)


@pytest.fixture(scope="module")
def heard() -> dict[str, Tensor]:
    """What the whole of VGGish makes of ten seconds: its last map, and the embedding."""
    keys = load_numbers("tpavi_r50_s4")["keys"]
    with Unfilled():
        network = VGGishEmbedding().eval()
    names = {name: shape for name, shape in keys.items() if name.startswith(SOUND)}
    network.load_state_dict(checkpoint(names), strict=True, assign=True)
    assert sum(one.numel() for one in network.parameters()) == 72141184
    assert not any(one.requires_grad for one in network.parameters())
    kept: dict[str, Tensor] = {}
    network.features.register_forward_hook(lambda *args: kept.update(vggish=args[2]))
    kept["embedding"] = network.embed(log_mel(10))
    return kept


def settings_of(config: str) -> Config:
    """Of the model, without weights for its backbone."""
    model = Config.fromfile(BASELINES / f"{config}.py").model
    model.backbone.init_cfg = None
    return model


def build_parts(config: str) -> nn.ModuleDict:
    """The image backbone and the head of a config."""
    init_default_scope("mmseg")
    model = settings_of(config)
    with Unfilled():
        parts = {name: MODELS.build(model[name]) for name in ("backbone", "decode_head")}
    return nn.ModuleDict(parts)


@pytest.fixture(scope="module")
def seen() -> Callable[[str, nn.ModuleDict], tuple[Tensor, ...]]:
    """What a config's backbone makes of ten frames, and the head's ``reduce`` of that.

    Configs that share a backbone share the weights of both.
    """
    kept: dict[str, tuple[Tensor, ...]] = {}

    def see(config: str, parts: nn.ModuleDict) -> tuple[Tensor, ...]:
        reduce: Any = parts["decode_head"].reduce
        shared = nn.ModuleList([parts["backbone"], reduce])
        shapes = {name: value.shape for name, value in shared.state_dict().items()}
        same = f"{settings_of(config).backbone} {shapes}"
        if same not in kept:
            maps = parts["backbone"](frames(10))
            kept[same] = (*maps, *(one(x) for one, x in zip(reduce, maps, strict=True)))
        return kept[same]

    return see


def known(seen: Tensor, reduced: Tensor, x: Tensor) -> Tensor:
    """In place of a ``reduce``, of what has been reduced."""
    assert x is seen
    return reduced


@contextmanager
def values_of(parts: nn.ModuleDict) -> Iterator[dict[str, Tensor]]:
    """By the names of the numbers, what the parts give on the way."""
    kept: dict[str, Tensor] = {}
    handles = []

    def keep(name: str, module: nn.Module) -> None:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            kept[name] = output[0] if isinstance(output, tuple) else output

        handles.append(module.register_forward_hook(hook))

    head = parts["decode_head"]
    for name in ("reduce", "attention", "fusion"):
        for level in LEVELS:
            keep(f"{name}.{level}", getattr(head, name)[level])
    keep("classifier.0", head.classifier[0])
    yield kept
    for handle in handles:
        handle.remove()


def in_clips(x: Tensor) -> Tensor:
    """(F, ...) to the original's (F / 5, 5, ...)."""
    return x.unflatten(0, (-1, 5))


def as_theirs(name: str, value: Tensor) -> Tensor:
    """In the original's layout."""
    if name.startswith("attention."):
        return in_clips(value).transpose(1, 2)
    return in_clips(value) if name.startswith("sound.") else value


def padded(parts: nn.ModuleDict, first: dict[str, Tensor]) -> dict[str, Tensor]:
    """Where the original pads a clip of five frames to ten: what it makes of five that are none.

    It multiplies them by 0 before and after each step, and ours leaves such frames out. They are
    alike, so that one of them stands for all.
    """
    head = parts["decode_head"]
    values = {}
    for name, value in first.items():
        kind, _, level = name.partition(".")
        nothing = torch.zeros_like(value[:1])
        if kind == "attention":
            nothing = head.attention[int(level)](nothing, torch.zeros(1, 128), shares([1]))[0]
        elif kind == "fusion":
            empty = torch.zeros_like(first[f"attention.{level}"][:1])
            nothing = head.fusion[int(level)](empty, None if level == "3" else empty)
        values[name] = torch.cat([value, nothing.expand_as(value)])
    return values


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_it_is_the_originals_network(
    name: str,
    heard: dict[str, Tensor],
    seen: Callable[[str, nn.ModuleDict], tuple[Tensor, ...]],
    drawn: Drawn,
) -> None:
    numbers = load_numbers(name)
    keys = {key: shape for key, shape in numbers["keys"].items() if not key.startswith(SOUND)}
    theirs = checkpoint(keys, drawn)
    parts = build_parts(NETWORKS[name]).eval()
    parts.load_state_dict(tpavi(theirs), strict=True, assign=True)  # none missing, none left over

    # Theirs are ours, and what was never run; ours are all reached.
    counted = numbers["parameters"]
    ours = sum(one.numel() for one in parts.parameters() if one.requires_grad)
    never = sum(
        value.numel()
        for key, value in theirs.items()
        if key.startswith(NEVER_RUN) and not key.endswith(("mean", "var", "tracked"))
    )
    assert ours == counted["with_gradient"] and ours + never == counted["model"]

    cases = numbers["cases"]
    count = 10 if "ten" in cases else 5
    sounds = heard["embedding"][:count]
    head: Any = parts["decode_head"]
    with values_of(parts) as values:
        maps = tuple(one[:count] for one in seen(NETWORKS[name], parts))
        for level in LEVELS:
            head.reduce[level].forward = partial(known, maps[level], maps[4 + level])
        output = head(maps[:4], [sounds[..., None, None]], [count])
    values |= {f"backbone.{level}": maps[level] for level in LEVELS}
    values |= {f"positive.{level}": output.features[level] for level in LEVELS}
    values |= {f"sound.{level}": output.features[4 + level] for level in LEVELS}
    values |= heard | dict(logits=output.logits)
    first = {key: value[:5] for key, value in values.items()}
    found = dict(main=first, ten=values)
    if "padded" in cases:
        found["padded"] = padded(parts, first)
    for case, expected in cases.items():
        for key, tensor in expected.items():
            assert_agrees(as_theirs(key, found[case][key]), tensor, f"{case}: {key}")

    first_output = DenseOutput(output.logits[:5], tuple(one[:5] for one in output.features))
    check_losses(name, numbers["losses"], first_output)


def published(name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """TPAVI's file and VGGish's, of zeros of one byte each."""
    keys = load_numbers(name)["keys"]
    whole = {key: torch.zeros(shape, dtype=torch.int8) for key, shape in keys.items()}
    sound = {key: value for key, value in whole.items() if key.startswith(SOUND)}
    return {key: value for key, value in whole.items() if key not in sound}, sound


def test_a_published_checkpoint_is_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state, sound = published("tpavi_pvt_s4")
    torch.save(state, tmp_path / "best.pth")
    arguments = dict(source=tmp_path / "best.pth", out_dir=tmp_path / "weights")
    with pytest.raises(ValueError, match="without VGGish.*prepare_weights.py vggish-dense --src"):
        prepare("tpavi", **arguments)
    (tmp_path / "weights").mkdir()
    torch.save(sound, tmp_path / VGGISH)
    path, finding = prepare("tpavi", **arguments)
    assert path.name == "tpavi_best.pth" and finding.endswith("none missing and none left")
    written = load_safely(path)
    assert f"{len(written)} tensors" in finding
    assert {key.split(".")[0] for key in written} == {"backbone", "audio_backbone", "decode_head"}


def test_the_config_is_told_by_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "model_of", lambda *arguments: arguments)
    for name, config in NETWORKS.items():
        keys = load_numbers(name)["keys"]
        state = {key: torch.empty(shape, device="meta") for key, shape in keys.items()}
        expected = (config, 2 if name.endswith("s4") else 71)
        assert methods.METHODS["tpavi"].network(tpavi(state)) == expected
        other = tpavi({"conv5.conv2d_list.0.weight": torch.zeros(1), "fc.bias": torch.zeros(1)})
        assert other.keys() == {"decode_head.reduce.4.convs.0.weight", "fc.bias"}  # fits nowhere


#: Of each of the original's settings: the config, and frames that have labels.
LOSSES = {
    "s4": ("tpavi_r50_s4-224", [0]),
    "ms3": ("tpavi_r50_ms3-224", [0, 1, 2, 3, 4]),
    "avss": ("tpavi_r50_avss-224", [0, 1, 2, 3, 4]),
    "avss_first": ("tpavi_r50_avss-224", [0]),
}


def check_losses(name: str, losses: dict[str, dict[str, float]], output: DenseOutput) -> None:
    num_classes = 2 if name.endswith("s4") else 71
    truth = coarse_truth(num_classes)
    for setting, expected in losses.items():
        config, labelled = LOSSES[setting]
        settings = Config.fromfile(BASELINES / f"{config}.py").model.criterion
        criterion = MODELS.build(dict(settings, num_classes=num_classes))
        found = {
            key: float(loss)
            for key, loss in criterion(_Model(output), {}, samples(truth, labelled)).items()
        }
        wanted = dict(loss_mask=expected["iou_loss"])
        if expected["lambda_1"]:
            wanted["loss_matching"] = expected["lambda_1"] * expected["sa_loss"]
        assert found == pytest.approx(wanted, rel=1e-5)
        assert sum(found.values()) == pytest.approx(expected["total"], rel=1e-5)


class _Model:
    """Gives an output that is there already."""

    def __init__(self, output: DenseOutput) -> None:
        self.output = output

    def encode_decode(self, inputs: dict, metas: list) -> DenseOutput:
        return self.output


def samples(truth: Tensor, labelled: list[int]) -> list[SegDataSample]:
    """A clip's samples, some of them with labels."""
    made = [SegDataSample(metainfo=dict(clip_length=len(truth))) for _ in truth]
    for index in labelled:
        made[index].gt_sem_seg = PixelData(data=truth[index][None])
    return made


def criterion(**settings: Any) -> nn.Module:
    return MODELS.build(dict(type="TPAVICriterion", num_classes=2, **settings))


def made_output(count: int = 5) -> DenseOutput:
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(count, 8, 4, 4, generator=generator)
    logits = torch.randn(count, 1, 16, 16, generator=generator)
    return DenseOutput(logits.requires_grad_(), (maps, torch.randn(count, 8, generator=generator)))


def test_frames_without_labels_have_no_part_in_the_losses() -> None:
    output = made_output()
    truth = (output.logits[:, 0] > 0).long()
    alone = DenseOutput(output.logits[2:3], tuple(one[2:3] for one in output.features))
    expected = criterion()(_Model(alone), {}, samples(truth[2:3], [0]))
    found = criterion()(_Model(output), {}, samples(truth, [2]))
    torch.testing.assert_close(found, expected)
    found = criterion()(_Model(output), {}, samples(truth, []))
    assert found.keys() == {"loss_mask"} and found["loss_mask"].item() == 0
    found["loss_mask"].backward()  # the graph lives


def test_pixels_that_are_ignored_are_not_compared() -> None:
    output = made_output(1)
    truth = torch.full((1, 16, 16), 255)
    nothing = criterion(matching_weight=0.0)(_Model(output), {}, samples(truth, [0]))
    assert nothing["loss_mask"].item() == 0
    truth[0, 0, :2] = torch.tensor([0, 1])
    losses = criterion(matching_weight=0.0)(_Model(output), {}, samples(truth, [0]))
    zero, one = output.logits[0, 0, 0, :2].sigmoid()
    by_hand = -((1 - zero).log() + one.log()) / 2
    torch.testing.assert_close(losses["loss_mask"], by_hand)


def test_attention_is_the_product_with_all_pixels_of_the_clip() -> None:
    """Two clips of three and one frames against the matrix of all affinities."""
    torch.manual_seed(0)
    block = TemporalAttention(audio_channels=5, embed_dims=8, sound_bias=True).eval()
    nn.init.normal_(block.out[1].weight)
    maps, sounds = torch.randn(4, 8, 2, 3), torch.randn(4, 5)
    found, _ = block(maps, sounds, shares([3, 1]))
    key = block.align(sounds)[..., None, None].expand(-1, -1, 2, 3)
    query, key, value = (
        layer(x).movedim(1, -1)
        for layer, x in ((block.theta, maps), (block.phi, key), (block.g, maps))
    )
    for clip in (slice(0, 3), slice(3, 4)):
        q, k, v = (one[clip].flatten(0, 2) for one in (query, key, value))
        attended = (q @ k.T / len(k) @ v).unflatten(0, (-1, 2, 3)).movedim(-1, 1)
        expected = maps[clip] + block.out(attended)
        expected = block.norm(expected.movedim(1, -1)).movedim(-1, 1)
        torch.testing.assert_close(found[clip], expected)


def test_clips_and_their_pieces() -> None:
    assert pieces([5, 10, 1, 7], 5) == [5, 5, 5, 1, 5, 2]
    expected = [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    assert shares([2, 1]).tolist() == expected
    metas = [dict(clip_length=2)] * 2 + [{}] + [dict(clip_length=3)] * 3
    assert clip_lengths(metas) == [2, 1, 3] and clip_lengths([]) == []
    with pytest.raises(ValueError, match="last clip has 3 frames, of which 1 are there.*collate"):
        clip_lengths(metas[:4])
