"""CAVP against numbers of the original code, and its formulas against ones worked out by hand."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from baseline_models import build
from librosa_numbers import recorded
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from peer_rule import (
    NUMBERS,
    Unfilled,
    assert_agrees,
    checkpoint,
    coarse_truth,
    frames,
    load_numbers,
    log_mel,
)
from torch import Tensor, nn

import projects.cpm_avs.training  # noqa: F401  (registers the criterion)
from projects.cpm_avs.models.audio_backbones import vggish_embedding
from projects.cpm_avs.models.baselines import CAVPVGGish
from projects.cpm_avs.models.baselines.cavp_sound import cavp_filters, cavp_log_mel
from projects.cpm_avs.models.spectrogram import stft_magnitude
from projects.cpm_avs.pretrained.cavp_converter import UNUSED, cavp
from projects.cpm_avs.training.baselines import CAVPCriterion, cavp_criterion
from projects.cpm_avs.training.baselines.cavp_contrast import choose_pixels, contrast

#: Sounds of the second half of the original's batch.
ORDER = torch.tensor([1, 2, 3, 4, 0])


def truths(palettes: list[list[int]]) -> list[SegDataSample]:
    """Each frame's cells are looked up in its palette; the top 16 rows are unknown."""
    samples = []
    for cells, palette in zip(coarse_truth(4), palettes, strict=True):
        labels = torch.tensor(palette)[cells]
        labels[:16] = 255
        sample = SegDataSample()
        sample.gt_sem_seg = PixelData(data=labels[None])
        samples.append(sample)
    return samples


class Watched:
    """What parts of a model gave when they were last called."""

    def __init__(self, **parts: nn.Module) -> None:
        self.seen: dict[str, Any] = {}
        for name, part in parts.items():
            part.register_forward_hook(lambda _, given, out, name=name: self._see(name, out))

    def _see(self, name: str, out: Any) -> None:
        self.seen[name] = out.clone() if isinstance(out, Tensor) else out


@pytest.mark.parametrize(
    ("name", "config", "sound"),
    [
        ("cavp_r50_avss", "cavp_r50_avss-224", log_mel),
        ("cavp_r50_obj", "cavp_r50_s4-224", log_mel),
        ("cavp_r50_vpo_stereo", "cavp_r50_vpo-ms", lambda: log_mel(channels=2, steps=300)),
    ],
)
def test_names_values_and_losses_are_the_originals(name, config, sound, drawn, monkeypatch):
    numbers = load_numbers(name)
    with Unfilled():
        model = build(config, bank_size=0)
    published = checkpoint(numbers["keys"], drawn)
    model.load_state_dict(cavp(published), strict=True, assign=True)
    used = sum(parameter.numel() for parameter in model.parameters())
    unused = {key for key in published if key.startswith(UNUSED)}
    assert unused == set(numbers["parameters"]["unused"])
    assert used == numbers["parameters"]["used"]
    assert used + sum(published[key].numel() for key in unused) == numbers["parameters"]["all"]
    del published

    head, fusion = model.decode_head, model.decode_head.fusion
    watched = Watched(
        stages=model.backbone, pyramid=head.aspp, reduced=head.reduce, pixels=head.projector,
        sound=model.audio_backbone, embedded_pixels=fusion.embed_visual,
        embedded_sound=fusion.embed_sound, block_of_pixels=fusion.block, fused=fusion,
        logits=head.classifier,
    )  # fmt: skip
    # The original takes the first pixels in place of random ones.
    monkeypatch.setattr(torch, "randperm", lambda number, **_: torch.arange(number))
    monkeypatch.setattr(cavp_criterion, "shuffled", lambda *_: ORDER)
    monkeypatch.setattr(model.audio_backbone, "log_mel", lambda sound: sound)
    inputs = dict(img=frames(), specgram=sound())
    with torch.no_grad():
        losses = model.criterion(model, inputs, truths(numbers["palettes"]))
        seen = watched.seen
        block = fusion.block
        pixels, token = seen["embedded_pixels"][:5], seen["embedded_sound"][:5]
        attention = block.attn.attention(block.norm1(pixels), block.norm1(token))
        # The original's sound looks at the pixels that have looked at it; nothing comes of it.
        heard = block.norm1(token)
        heard = heard + block.attn(heard, seen["block_of_pixels"][:5])
        heard = block.ffn(block.norm2(heard), identity=heard)
    for loss, value in numbers["losses"].items():
        assert losses[loss].item() == pytest.approx(value, rel=1e-5), loss

    both = seen["logits"]
    upsampled = F.interpolate(both, (224, 224), mode="bilinear", align_corners=False)
    fused = seen["fused"].transpose(1, 2).unflatten(2, both.shape[-2:])
    found = {f"stage {number}": x for number, x in enumerate(seen["stages"], 1)}
    found |= {
        "pyramid": seen["pyramid"], "reduced": seen["reduced"], "pixels": seen["pixels"],
        "sound": seen["sound"][-1].flatten(1), "embedded pixels": pixels, "embedded sound": token,
        "block of pixels": seen["block_of_pixels"][:5], "block of sound": heard,
        "attention": attention, "logits": both[:5], "fused": fused[:5],
        "upsampled logits": upsampled[:5], "fused, both halves": fused,
        "upsampled logits, both halves": upsampled,
    }  # fmt: skip
    assert found.keys() == numbers["tensors"].keys()
    for part, tensor in found.items():
        assert_agrees(tensor, numbers["tensors"][part], part)


@pytest.mark.parametrize(
    ("name", "shape", "steps"), [("avs", (1, 1, 16000), 96), ("vpo_stereo", (1, 2, 48000), 300)]
)
def test_sounds_are_the_originals(name, shape, steps):
    numbers = json.loads((NUMBERS / "cavp_sound.json").read_text())[name]
    drawn = np.random.default_rng(5).standard_normal(shape)
    waveform = torch.from_numpy((0.1 * drawn).astype(np.float32))
    for drop_bin in ("nyquist", "dc"):
        specgram = stft_magnitude(waveform, drop_bin=drop_bin)
        assert_agrees(cavp_log_mel(specgram, cavp_filters(drop_bin))[:, :, :steps], numbers)
    assert cavp_log_mel(0 * specgram, cavp_filters("dc")).eq(-1).all()  # silence


def test_filters_are_librosas():
    expected = recorded("cavp").T
    np.testing.assert_allclose(cavp_filters(), expected[:256], atol=1e-6)
    np.testing.assert_allclose(cavp_filters("dc"), expected[1:], atol=1e-6)


def test_too_short_a_sound_is_told(monkeypatch):
    monkeypatch.setattr(vggish_embedding, "HIDDEN", 16)
    network = CAVPVGGish(embed_dims=8)
    with pytest.raises(ValueError, match="95 spectrogram frames .* at least 15360 samples"):
        network(torch.zeros(1, 1, 95, 256))


def test_vggishs_own_last_layer_gives_way_to_another_width(monkeypatch):
    monkeypatch.setattr(vggish_embedding, "HIDDEN", 16)
    state = CAVPVGGish(embed_dims=128).state_dict()
    other = CAVPVGGish(embed_dims=8)
    kept = other.embeddings[4].weight.clone()
    missing, unexpected = other.load_state_dict(state, strict=False)
    assert missing == ["embeddings.4.weight", "embeddings.4.bias"] and unexpected == []
    assert torch.equal(other.embeddings[4].weight, kept)
    assert torch.equal(other.embeddings[2].weight, state["embeddings.2.weight"])


def test_contrast_is_what_nested_loops_give():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(7, 5, generator=generator)
    labels = torch.tensor([0, 0, 2, 2, 2, 3, 0])
    total = 0.0
    for a in range(7):

        def e(b, a=a):  # fmt: skip
            return math.exp(float(F.cosine_similarity(features[a], features[b], dim=0)) / 0.1)

        negatives = sum(e(b) for b in range(7) if labels[b] != labels[a])
        positives = [b for b in range(7) if b != a and labels[b] == labels[a]]
        # The pixel of class 3 has no positive: it counts as 0.
        total += sum(-math.log(e(p) / (e(p) + negatives)) for p in positives) / max(
            len(positives), 1
        )
    found = contrast(features, labels, temperature=0.1)
    assert found.item() == pytest.approx(total / 7, rel=1e-5)


def test_contrast_of_nothing_and_of_one_class_is_0_with_a_gradient():
    features = torch.randn(4, 3, requires_grad=True)
    for chosen in ([], [0, 1, 2]):
        loss = contrast(
            features[chosen], torch.ones(len(chosen), dtype=torch.long), temperature=0.1
        )
        loss.backward()
        assert loss.item() == 0 and features.grad.isfinite().all()


def test_pixels_that_are_compared():
    labels = torch.full((2, 3, 4), 255)
    labels[0, 0] = torch.tensor([0, 0, 2, 2])
    labels[1] = torch.tensor([[2, 5, 0, 0], [5, 5, 5, 5], [255, 255, 0, 255]])
    other = labels * torch.tensor([1, 0])[:, None, None]
    chosen = choose_pixels(labels, other, views=3).tolist()
    own = [place for place in chosen if place < 24]
    counts = dict(zip(*np.unique(labels.flatten()[own], return_counts=True), strict=True))
    # Of class 2 there are three, of 5 five, of background five; never one of unknown pixels.
    assert counts == {0: 3, 2: 3, 5: 3} and len(set(chosen)) == 12
    others = [place - 24 for place in chosen if place >= 24]
    assert set(labels.flatten()[others].tolist()) <= {2, 5}
    assert len(choose_pixels(labels, other, views=6)) == 0  # no class has six
    one = torch.full((1, 2, 4), 7)
    one[0, 0, 0] = 0
    assert len(choose_pixels(one, one, views=4)) == 4 + 1 + 1  # as many objects as background


def test_the_bank_puts_half_of_the_wrong_sounds_right():
    criterion = CAVPCriterion(num_classes=4, bank_size=2, bank_shape=(1, 1, 3))

    class Ears:
        def embed(self, kept: Tensor) -> Tensor:
            assert kept.shape[1:] == (1, 1, 3)
            return kept.flatten(1)

    kinds = torch.eye(4, dtype=torch.bool)
    heard = torch.arange(1.0, 4)[:, None, None, None].expand(3, 1, 1, 3)
    # Of class 1 a sound of ones, of class 2 twos; the third has two classes and is not kept.
    criterion._keep(criterion.bank, heard, torch.stack([kinds[1], kinds[2], kinds[1] | kinds[3]]))
    assert criterion.bank.count.tolist() == [0, 1, 1, 0]
    single, several, unheard = kinds[1], kinds[1] | kinds[2], kinds[3]
    sounding = torch.stack([single, several, unheard, single]).repeat(250, 1)
    matched = torch.tensor([False, False, False, True]).repeat(250)
    torch.manual_seed(0)
    others, right = criterion._exchange(Ears(), torch.zeros(1000, 3), matched, sounding)
    exchanged = others.eq(1).all(1)
    assert others[~exchanged].eq(0).all() and torch.equal(right, matched | exchanged)
    assert {place % 4 for place in exchanged.nonzero().flatten().tolist()} == {0}
    assert 100 < int(exchanged.sum()) < 150
    for _ in range(2):  # the oldest goes
        criterion._keep(criterion.bank, 9 * heard[:1], kinds[1:2])
    assert criterion.bank.samples[1].eq(9).all()
    with pytest.raises(ValueError, match=r"bank_shape is \(1, 1, 3\), .* \(1, 96, 64\) .*set bank"):
        criterion._keep(criterion.bank, torch.zeros(1, 1, 96, 64), kinds[:1])


def test_a_bank_is_for_ears_that_hear_each_sound_by_itself():
    inputs = dict(img=torch.randn(2, 3, 32, 32), specgram=torch.rand(2, 1, 96, 256))
    for config in ("cavp_mbv2-yamnet_stamps", "cavp_r50_vpo-ss"):
        model = build(config, bank_size=2)
        with pytest.raises(ValueError, match="bank_size is set, and the audio backbone is CAVP"):
            model.criterion(model, inputs, [])


def test_pictures_with_the_same_sounds_match_whatever_the_order(monkeypatch):
    """Shown are classes 1 and 2; what sounds, where the data set says it, is what counts."""
    model = build("cavp_mbv2-yamnet_stamps", views=1)
    samples = []
    for sounds in ((1,), (1, 2), (2, 1), ()):
        sample = SegDataSample(metainfo=dict(sound_classes=list(sounds)))
        labels = torch.zeros(1, 32, 32, dtype=torch.long)
        labels[:, 8:16], labels[:, 16:24] = 1, 2
        sample.gt_sem_seg = PixelData(data=labels)
        samples.append(sample)
    seen = {}
    monkeypatch.setattr(
        CAVPCriterion,
        "_contrast",
        lambda self, fused, label_map, matched: seen.update(matched=matched) or fused.sum() * 0,
    )
    inputs = dict(img=torch.randn(4, 3, 32, 32), specgram=torch.rand(4, 1, 96, 256))
    for order in ((0, 1, 2, 3), (1, 2, 0, 3), (3, 0, 1, 2), (2, 3, 1, 0)):
        monkeypatch.setattr(cavp_criterion, "shuffled", lambda *_, order=order: torch.tensor(order))
        with torch.no_grad():
            model.criterion(model, inputs, samples)
        kinds = [(1,), (1, 2), (1, 2), ()]
        assert seen["matched"].tolist() == [kinds[a] == kinds[b] for a, b in enumerate(order)]
