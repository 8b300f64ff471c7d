"""The CPM path in a whole model: what sees what, what costs nothing, and what is exactly 0."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from spying import spy
from tiny import NUM_QUERIES, build_tiny, losses_of, prompt_cfg, tiny_batch, tiny_model_cfg
from torch import Tensor, nn

from projects.cpm_avs.structures import Prompts
from projects.cpm_avs.training.prompting import prompted_path
from projects.cpm_avs.training.prompting.prompted_path import PromptedPath
from projects.cpm_avs.training.set_prediction.targets import build_targets


def prompted(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    names = ("vcp.", "loss_acp", "loss_pcl")
    return {name: loss for name, loss in losses.items() if name.startswith(names)}


def two_classes_in_the_first_image() -> dict:
    batch = tiny_batch()
    batch["data_samples"][0].gt_sem_seg.data[:, 40:60, 40:60] = 2
    return batch


def test_every_loss_is_there_and_counts():
    losses = losses_of(build_tiny(), tiny_batch())
    names = {f"vcp.{d}loss_{n}" for d in ("", "d0.", "d1.") for n in ("cls", "focal", "dice")}
    assert set(prompted(losses)) == names | {"loss_acp", "loss_pcl"}
    assert all(loss > 0 for loss in losses.values())


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("kinds", [(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_every_parameter_gets_a_gradient_whatever_sounds_and_counts(kinds, silent):
    # DDP hangs or stops otherwise.
    model = build_tiny(prompt_cfg(*kinds)).train()
    losses = losses_of(model, tiny_batch(silent=silent))
    assert all((loss == 0) == silent for loss in prompted(losses).values())
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_a_silent_image_among_others_adds_nothing(monkeypatch):
    batch = tiny_batch(3)
    batch["data_samples"][1].gt_sem_seg.data[:] = 0
    model = build_tiny()
    compared = spy(monkeypatch, prompted_path, "acp_loss")
    compared_sets = spy(monkeypatch, model.criterion.set_criterion, "forward")
    contrasted = spy(monkeypatch, prompted_path, "info_nce")
    losses = losses_of(model, batch)
    assert all(loss.isfinite() for loss in losses.values())
    _, prompts = compared_sets[0].args[2]
    assert 1 not in prompts.matching.image
    assert not compared[0].args[2][1].any()
    assert contrasted[0].args[1].tolist() == [1, 1]


def test_weights_of_zero_build_and_compute_nothing(monkeypatch):
    nothing = [
        prompt_cfg(0, 0, 0),
        tiny_model_cfg(criterion=dict(prompt_weight=0.0)),
        tiny_model_cfg(criterion=dict(prompting=None)),
    ]
    for cfg in nothing:
        model = build_tiny(cfg)
        assert model.criterion.prompted_path is None
        heard = spy(monkeypatch, model, "extract_audio")
        decoded = spy(monkeypatch, model.decode_head.decoder, "forward")
        assert not prompted(losses_of(model, tiny_batch()))
        assert len(heard) == len(decoded) == 1
    assert build_tiny(prompt_cfg(0, 1, 0)).criterion.prompted_path.audio_mask_head is None
    assert set(prompted(losses_of(build_tiny(prompt_cfg(1, 0, 0)), tiny_batch()))) == {"loss_acp"}
    assert set(prompted(losses_of(build_tiny(prompt_cfg(0, 0, 1)), tiny_batch()))) == {"loss_pcl"}


def test_weights_multiply_and_lambda_multiplies_all():
    plain = losses_of(build_tiny(prompt_cfg(1, 1, 1)), tiny_batch())
    heavy = losses_of(build_tiny(prompt_cfg(2, 3, 4)), tiny_batch())
    half = losses_of(build_tiny(tiny_model_cfg(criterion=dict(prompt_weight=0.25))), tiny_batch())
    factors = {"loss_acp": 2, "loss_pcl": 4}
    for name, loss in prompted(plain).items():
        torch.testing.assert_close(heavy[name], factors.get(name, 3) * loss)
        torch.testing.assert_close(half[name], loss / 2)  # the default is 0.5
    torch.testing.assert_close(half["loss_cls"], plain["loss_cls"])


def test_each_part_runs_once_for_queries_and_prompts(monkeypatch):
    model = build_tiny()
    seen = spy(monkeypatch, model.backbone, "forward")
    pixels = spy(monkeypatch, model.decode_head.pixel_decoder, "forward")
    heard = spy(monkeypatch, model.audio_backbone, "forward")
    decoded = spy(monkeypatch, model.decode_head.decoder, "forward")
    losses_of(model, tiny_batch(4))
    assert len(seen) == len(pixels) == len(heard) == len(decoded) == 1
    assert decoded[0].args[0].shape[:2] == (4, 8 + 1)  # queries and a prompt
    clean, mixed = heard[0].args[0].chunk(2)
    assert (mixed >= clean).all() and not torch.equal(clean, mixed)


def test_batch_norms_learn_the_clean_sounds_statistics_alone():
    model = build_tiny()
    norm = model.audio_backbone.norm = nn.BatchNorm2d(1)
    heard = []

    def listen(module: nn.Module, args: tuple[Tensor]) -> None:
        heard.append(args[0])
        norm(args[0])

    model.audio_backbone.register_forward_pre_hook(listen)
    losses_of(model, tiny_batch(4))
    clean, mixed = heard  # by themselves
    assert not torch.equal(clean, mixed)
    torch.testing.assert_close(norm.running_mean, 0.1 * clean.mean((0, 2, 3)))
    assert norm.momentum == 0.1


class FixedPrompter(nn.Module):
    """The same prompts whatever the mixtures are."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def forward(self, classifier: nn.Module, labels: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randn(*labels.shape, 32, generator=generator)


def outputs_of(model: nn.Module, monkeypatch) -> tuple:
    """Predictions of the queries and of the prompts, and the losses."""
    with monkeypatch.context() as patch:
        calls = spy(patch, model.decode_head.decoder, "forward")
        losses = losses_of(model, two_classes_in_the_first_image())
    whole = calls[0].result
    return whole.part(slice(NUM_QUERIES)), whole.part(slice(NUM_QUERIES, None)), losses


def same(first, second) -> bool:
    pairs = zip(
        (first.embeddings, first.cls_logits, first.mask_embeddings),
        (second.embeddings, second.cls_logits, second.mask_embeddings),
        strict=True,
    )
    return all(torch.equal(a, b) for a, b in pairs)


def test_queries_and_prompts_never_see_each_other(monkeypatch):
    model = build_tiny()
    model.criterion.prompted_path.prompter = FixedPrompter(0)
    queries, prompts, losses = outputs_of(model, monkeypatch)

    model.criterion.prompted_path.prompter = FixedPrompter(1)
    other_queries, other_prompts, other_losses = outputs_of(model, monkeypatch)
    assert same(queries, other_queries) and not same(prompts, other_prompts)
    for name, loss in losses.items():
        if name != "loss_acp":  # 0: the two images have no class apart
            assert torch.equal(loss, other_losses[name]) == (name not in prompted(losses))

    model.criterion.prompted_path.prompter = FixedPrompter(0)
    with torch.no_grad():
        model.decode_head.query_feat.weight.normal_()
        model.decode_head.query_embed.weight.normal_()
    third_queries, third_prompts, _ = outputs_of(model, monkeypatch)
    assert same(prompts, third_prompts) and not same(queries, third_queries)


def decode(model: nn.Module, content: Tensor, padding: Tensor, images: slice = slice(None)):
    """Prompts on the features of a batch of two."""
    data = model.data_preprocessor(tiny_batch(), True)
    visual, audio = model.extract_feat(data["inputs"])
    visual = replace(
        visual,
        mask_features=visual.mask_features[images],
        memories=tuple(memory[images] for memory in visual.memories),
    )
    audio = replace(audio, memory=audio.memory[images])
    prompts = Prompts(content, torch.zeros_like(content), padding, audio)
    return model.decode_head(visual, audio, prompts).part(slice(NUM_QUERIES, None))


@torch.no_grad()
def test_padding_says_nothing_to_real_prompts():
    model = build_tiny().eval()
    content = torch.randn(2, 3, 32)
    padding = torch.tensor([[False, True, True], [False, False, True]])
    found = decode(model, content, padding)
    content[padding] = 100 * torch.randn(3, 32)
    other = decode(model, content, padding)
    for a, b in zip(
        (found.embeddings, found.cls_logits, found.mask_embeddings),
        (other.embeddings, other.cls_logits, other.mask_embeddings),
        strict=True,
    ):
        assert torch.equal(a[:, ~padding], b[:, ~padding])
        assert not torch.equal(a[:, padding], b[:, padding])
        assert b.isfinite().all()

    alone = decode(model, content[:1, :1], padding[:1, :1], slice(1))
    torch.testing.assert_close(found.embeddings[:, 0, 0], alone.embeddings[:, 0, 0])
    # Prompts of one image do see each other.
    content[1, 0] += 1
    moved = decode(model, content, padding)
    assert not torch.equal(moved.embeddings[:, 1, 1], found.embeddings[:, 1, 1])
    assert torch.equal(moved.embeddings[:, 0, 0], found.embeddings[:, 0, 0])


@torch.no_grad()
def test_an_image_without_any_prompt_stays_finite():
    model = build_tiny().eval()
    output = decode(model, torch.randn(2, 2, 32), torch.ones(2, 2, dtype=torch.bool))
    assert output.embeddings.isfinite().all() and output.cls_logits.isfinite().all()


def test_vcp_lets_prompt_k_draw_and_name_class_k(monkeypatch):
    model = build_tiny(prompt_cfg(0, 1, 0))
    batch = two_classes_in_the_first_image()
    # The data set says that class 1 sounds in the second image too; its object is cropped away.
    batch["data_samples"][1].set_metainfo(dict(sound_classes=[1, 2]))
    calls = spy(monkeypatch, model.criterion.set_criterion, "forward")
    losses_of(model, batch)

    _, targets, (_, prompts) = calls[0].args
    pairs = list(zip(*(x.tolist() for x in vars(prompts.matching).values()), strict=True))
    segments = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2)]  # (image, class), background included
    assert list(zip(targets.image_index.tolist(), targets.labels.tolist(), strict=True)) == segments
    expected = [(0, 0, 1), (0, 1, 2), (1, 1, 4)]  # (image, prompt, segment)
    assert pairs == [(layer, *pair) for layer in range(3) for pair in expected]

    assert prompts.labels.tolist() == [[[1, 2], [1, 2]]] * 3
    assert prompts.counted.tolist() == [[True, True], [False, True]]


def test_acp_leaves_out_what_has_no_noise():
    alone = tiny_batch()
    for sample in alone["data_samples"]:
        sample.gt_sem_seg.data.clamp_(max=1)  # nobody's sound is off the other's screen
    losses = losses_of(build_tiny(), alone)
    assert losses["loss_acp"] == 0 and losses["vcp.loss_cls"] > 0 and losses["loss_pcl"] > 0


def test_acp_compares_with_the_ratio_of_clean_to_mixed(monkeypatch):
    model = build_tiny(prompt_cfg(1, 0, 0))
    compared = spy(monkeypatch, prompted_path, "acp_loss")
    losses = losses_of(model, tiny_batch())
    [call] = compared
    predicted, ratio, counted = call.args
    clean = model.data_preprocessor(tiny_batch(), True)["inputs"]["specgram"][:, 0]
    torch.testing.assert_close(ratio, clean / (clean + clean.flip(0)))
    assert predicted.shape == ratio.shape == (2, 32, 256) and counted.all()
    torch.testing.assert_close(losses["loss_acp"], 0.5 * (predicted - ratio).square().mean())


def test_pcl_pairs_each_pixel_with_its_own_label(monkeypatch):
    model = build_tiny(prompt_cfg(0, 0, 1, pixels_per_class=10_000))
    contrasted = spy(monkeypatch, prompted_path, "info_nce")
    pooled = spy(monkeypatch, model.criterion.prompted_path, "pool")
    batch = two_classes_in_the_first_image()
    batch["data_samples"][1].gt_sem_seg.data[:, :8] = 255
    data = model.data_preprocessor(batch, True)
    visual, audio = model.extract_feat(data["inputs"])
    targets = build_targets(data["data_samples"], 3)
    model(**data, mode="loss")
    anchors, anchor_labels, pixels, labels, tau = contrasted[0].args
    assert anchors.shape == (3, 32) and anchor_labels.tolist() == [1, 2, 2] and tau == 0.1
    path = model.criterion.prompted_path
    # The clean sound, no mixture.
    heard = path.audio_project(audio.memory.movedim(1, -1)).movedim(-1, 1)
    torch.testing.assert_close(pooled[0].args[0], heard[[0, 0, 1]])
    # Stride 8: cell (i, j) is centred between the pixels 8 i + 3 and 8 i + 4, 8 j + 3 and 8 j + 4.
    cells = targets.label_map[:, 4::8, 4::8]
    seen = path.visual_project(visual.memories[-1].movedim(1, -1))
    expected = {
        tuple(seen[image, i, j].tolist()): int(cells[image, i, j])
        for image in range(2)
        for i in range(8)
        for j in range(8)
        if cells[image, i, j] != 255
    }
    assert len(pixels) == len(expected) == 2 * 64 - 8
    known = torch.tensor(list(expected))
    for pixel, label in zip(pixels, labels.tolist(), strict=True):
        nearest = (known - pixel).abs().amax(-1).argmin()
        torch.testing.assert_close(pixel.detach(), known[nearest])
        assert list(expected.values())[nearest] == label


def test_pcl_hears_where_the_mask_is_salient(monkeypatch):
    pooled, spared = [], []
    for pooling in ("average", "max"):
        with monkeypatch.context() as patch:
            model = build_tiny(prompt_cfg(0, 0, 1, pooling=pooling))
            calls = spy(patch, model.criterion.prompted_path, "pool")
            masks = spy(patch, model.criterion.prompted_path.audio_mask_head, "forward")
            spared.append(losses_of(model, two_classes_in_the_first_image())["loss_pcl"])
        features, region = calls[0].args
        scores = F.adaptive_avg_pool2d(masks[0].result.sigmoid(), (2, 16)).flatten(0, 1)
        scores = scores[:3]  # the second image's second prompt is padding
        assert torch.equal(region, scores > scores.mean((1, 2), keepdim=True))
        assert features.shape == (3, 32, 2, 16)
        pooled.append(calls[0].result)
    assert not torch.equal(*pooled) and not torch.equal(*spared)


def test_an_anchor_without_a_salient_bin_is_skipped():
    model = build_tiny(prompt_cfg(1, 0, 1))
    last = model.criterion.prompted_path.audio_mask_head.mask_embed[-1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)  # all audio masks are 0
    losses = losses_of(model, tiny_batch())
    assert losses["loss_pcl"] == 0 and losses["loss_acp"] > 0
    sum(losses.values()).backward()
    assert last.weight.grad.abs().sum() > 0


def test_point_prompts_learn_with_a_linear_classifier():
    cfg = tiny_model_cfg(
        decode_head=dict(classifier=dict(type="LinearClassifier")),
        criterion=dict(mixture=None, prompting=dict(prompt_type="point")),
    )
    model = build_tiny(cfg)
    losses = losses_of(model, tiny_batch())
    sum(losses.values()).backward()
    learned = model.criterion.prompted_path.prompter.points.weight.grad.abs().sum(-1)
    assert (learned > 0).tolist() == [False, True, True]


def test_stereo():
    cfg = tiny_model_cfg(audio_backbone=dict(in_channels=2))
    losses = losses_of(build_tiny(cfg), tiny_batch(channels=2))
    assert all(loss > 0 for loss in prompted(losses).values())


def test_wrong_names_are_refused():
    for wrong in (dict(prompt_type="text"), dict(pooling="mean")):
        with pytest.raises(ValueError, match=next(iter(wrong.values()))):
            PromptedPath(num_classes=3, embed_dims=32, audio_channels=(8, 16, 32), **wrong)
