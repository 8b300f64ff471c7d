"""The whole tiny model: training, prediction, and a criterion that leaves no trace."""

import pytest
import torch
from mmengine.model import BaseModel
from segments import drawing
from tiny import (
    NUM_CLASSES,
    NUM_QUERIES,
    build_tiny,
    linear_cfg,
    losses_of,
    predictions_of,
    same_predictions,
    tiny_batch,
    tiny_model_cfg,
)
from torch import Tensor, nn

from projects.cpm_avs.models.unheard import without_unheard
from projects.cpm_avs.training.finite import NonFiniteLossError


def mask_logits(model: nn.Module, batch: dict) -> Tensor:
    model.eval()
    with torch.no_grad():
        return model(**model.data_preprocessor(batch, False), mode="tensor")[1]


def test_every_layer_is_supervised():
    losses = losses_of(build_tiny(linear_cfg()), tiny_batch())
    assert set(losses) == {
        f"{d}loss_{n}" for d in ("", "d0.", "d1.") for n in ("cls", "focal", "dice")
    }
    assert all(loss > 0 for loss in losses.values())


def test_raw_outputs():
    model = build_tiny()
    data = model.data_preprocessor(tiny_batch(), False)
    cls_logits, masks = model(**data, mode="tensor")
    assert cls_logits.shape == (2, NUM_QUERIES, NUM_CLASSES + 1)
    assert masks.shape == (2, NUM_QUERIES, 16, 16)


def test_swapping_the_sounds_of_two_clips_changes_their_masks():
    model, batch = build_tiny(), tiny_batch()
    before = mask_logits(model, batch)
    batch["inputs"]["waveform"].reverse()
    after = mask_logits(model, batch)
    for image in range(2):
        assert (before[image] - after[image]).abs().max() > 1e-3


def test_clips_of_a_batch_do_not_touch_each_other():
    model = build_tiny()
    together = mask_logits(model, tiny_batch())
    for index in range(2):
        alone = tiny_batch()
        alone["inputs"] = {key: [values[index]] for key, values in alone["inputs"].items()}
        alone["data_samples"] = alone["data_samples"][index : index + 1]
        torch.testing.assert_close(mask_logits(model, alone)[0], together[index])


def test_padding_is_the_same_whatever_the_other_image_shows():
    model = build_tiny()
    first, second = tiny_batch(size=[(64, 64), (96, 64)]), tiny_batch(size=[(64, 64), (96, 64)])
    second["inputs"]["img"][1] = 255 - second["inputs"]["img"][1]
    found, other = mask_logits(model, first), mask_logits(model, second)
    assert torch.equal(found[0], other[0]) and not torch.equal(found[1], other[1])


def test_the_padding_of_an_image_without_any_does_nothing():
    # 64 is a multiple of the divisor; what padding there could be is named in the sample.
    model = build_tiny()
    sample = predictions_of(model, tiny_batch())[0]
    assert sample.metainfo["img_padding_size"] == (0, 0, 0, 0)
    with torch.no_grad():
        bare = model(model.data_preprocessor(tiny_batch())["inputs"], mode="predict")
    assert torch.equal(bare[0].seg_logits.data, sample.seg_logits.data)


def stub(model: nn.Module, monkeypatch, masks: Tensor) -> None:
    """Let one query draw class 1 as a mask (h, w), and one background as the rest."""
    masks = torch.stack([-masks, masks])
    cls_logits = torch.full((2, NUM_CLASSES + 1), -20.0)
    cls_logits[[0, 1], [0, 1]] = 20.0

    def output(inputs, metas):
        size = len(inputs["img"])
        layer = cls_logits.expand(size, -1, -1)
        return drawing(None, torch.stack([layer] * 2), masks.expand(2, size, -1, -1, -1))

    monkeypatch.setattr(model, "encode_decode", output)


def test_predictions_have_the_original_size_without_the_padding(monkeypatch):
    model = build_tiny()
    batch = tiny_batch(size=[(50, 64), (96, 70)])
    batch["data_samples"][0].set_metainfo(dict(ori_shape=(100, 128)))  # it was shrunk by two
    # Padded to 96 x 96, of which rows from 48 on are class 1: the first image's last two.
    mask = torch.full((24, 24), -20.0)
    mask[12:] = 20.0
    stub(model, monkeypatch, mask)
    small, large = predictions_of(model, batch)
    assert small.pred_sem_seg.data.shape == (1, 100, 128)
    assert large.pred_sem_seg.data.shape == (1, 96, 70)
    rows = small.pred_sem_seg.data[0, :, 0].nonzero().flatten().tolist()
    assert rows == [96, 97, 98, 99]
    assert large.pred_sem_seg.data[0].sum(0).tolist() == [48] * 70


@pytest.mark.parametrize("merge", ["max", "sum"])
def test_predictions(merge):
    model = build_tiny(tiny_model_cfg(merge=merge))
    for sample in predictions_of(model, tiny_batch()):
        scores, labels = sample.seg_logits.data, sample.pred_sem_seg.data
        assert scores.shape == (NUM_CLASSES, 64, 64) and scores.dtype == torch.float32
        assert labels.shape == (1, 64, 64) and labels.dtype == torch.int64
        assert torch.equal(labels[0], scores.argmax(0))
        assert scores.min() >= 0
        assert merge == "sum" or scores.max() <= 1


@pytest.mark.parametrize("merge", ["max", "sum"])
def test_masks_alone_are_those_of_the_scores(merge):
    model = build_tiny(tiny_model_cfg(merge=merge)).eval()
    assert model.draws_all_classes == (merge == "sum")
    with torch.no_grad():
        found = model.best_step(tiny_batch())
    for one, other in zip(found, predictions_of(model, tiny_batch()), strict=True):
        assert torch.equal(one.pred_sem_seg.data, other.pred_sem_seg.data)
        best = other.seg_logits.data.amax(0, keepdim=True)
        torch.testing.assert_close(one.pred_scores.data, best)
        assert "seg_logits" not in one and one.pred_audio_classes == other.pred_audio_classes


def test_the_merge_rule_is_the_configs():
    first, second = (
        predictions_of(build_tiny(tiny_model_cfg(merge=merge)), tiny_batch())
        for merge in ("max", "sum")
    )
    assert not same_predictions(first, second)


def test_the_odds_of_no_object_count_where_masks_are_merged():
    """Three times the odds leave the likelihoods of the others as they are to one another."""
    data = build_tiny().data_preprocessor(tiny_batch(), False)
    plain = build_tiny().eval()
    careful = build_tiny(tiny_model_cfg(no_object_odds=3.0)).eval()
    outputs = [model.encode_decode(data["inputs"], []).cls_logits for model in (plain, careful)]
    assert torch.equal(outputs[0][:-1], outputs[1][:-1])  # what is heard, and every other layer
    before, after = (logits[-1].softmax(-1) for logits in outputs)
    odds_before, odds_after = (p[..., -1] / (1 - p[..., -1]) for p in (before, after))
    torch.testing.assert_close(odds_after, 3 * odds_before)
    torch.testing.assert_close(after[..., :2] / after[..., 1:3], before[..., :2] / before[..., 1:3])
    assert not any("no_object_shift" in name for name in careful.state_dict())  # the config's


def test_what_no_query_has_heard_is_not_named():
    """Two queries; background, two classes, no-object. Heard are 1 with 0.6 and 2 with 0.3."""
    heard = torch.tensor([[[0.1, 0.6, 0.2, 0.1], [0.3, 0.1, 0.3, 0.3]]]).log()
    seen = torch.tensor([[[0.1, 0.2, 0.6, 0.1], [0.0, 0.3, 0.3, 0.4]]]).log()
    named = without_unheard(seen, heard, 0.4).softmax(-1)
    right = torch.tensor([[[1 / 4, 2 / 4, 0, 1 / 4], [0, 3 / 7, 0, 4 / 7]]])
    torch.testing.assert_close(named, right)
    assert torch.equal(without_unheard(seen, heard, 0.29), seen)
    data = build_tiny().data_preprocessor(tiny_batch(), False)
    outputs = [
        build_tiny(tiny_model_cfg(least_heard=least)).eval().encode_decode(data["inputs"], [])
        for least in (0.0, 0.9)
    ]
    logits, gated = (output.cls_logits for output in outputs)
    assert torch.equal(gated[:-1], logits[:-1])
    assert torch.equal(gated[-1], without_unheard(logits[-1], logits[0], 0.9))
    assert gated[-1].isneginf().any()


def test_classes_after_td_a_are_those_that_queries_name():
    model, batch = build_tiny(), tiny_batch()
    with torch.no_grad():
        inputs = model.data_preprocessor(batch, False)["inputs"]
        first_layer = model.eval().encode_decode(inputs, []).cls_logits[0].argmax(-1)
    for sample, named in zip(predictions_of(model, batch), first_layer.tolist(), strict=True):
        assert sample.pred_audio_classes == sorted(set(named) - {0, NUM_CLASSES})


def test_training_remembers_the_matches_for_the_hooks(monkeypatch):
    model = build_tiny()
    criterion = model.criterion
    match, seen = criterion.set_criterion.match, []

    def keep(output, targets):
        seen.append((output, targets, match(output, targets)))
        return seen[-1][2]

    monkeypatch.setattr(criterion.set_criterion, "match", keep)
    losses_of(model, tiny_batch())
    [(output, targets, matching)] = seen
    assigned = criterion.last_assignment
    layers = matching.assigned_labels(targets.labels, output.cls_logits.shape[:3], NUM_CLASSES)
    assert torch.equal(assigned, layers[-1]) and not torch.equal(assigned, layers[0])
    embedding = model.decode_head.classifier.normalize(output.embeddings[-1])[assigned == 2]
    assert torch.equal(criterion.mixture.bank.samples[2, :1], embedding)
    assert assigned.shape == (2, NUM_QUERIES)
    for row, own in zip(assigned.tolist(), ([0, 1], [0, 2]), strict=True):
        assert sorted(row) == own + [NUM_CLASSES] * (NUM_QUERIES - 2)
    # Of 12 embeddings of no-object at most 8 enter the bank.
    assert criterion.mixture.bank.count.tolist() == [2, 1, 1, 8]
    samples = criterion.mixture.bank.samples[criterion.mixture.bank.valid]
    torch.testing.assert_close(samples.norm(dim=-1), torch.ones(12))

    before = model.decode_head.classifier.means.clone()
    predictions_of(model, tiny_batch())
    assert criterion.mixture.bank.count.tolist() == [2, 1, 1, 8]
    criterion.update_classifier(model.decode_head.classifier)
    moved = (model.decode_head.classifier.means != before).flatten(1).any(1)
    assert moved.tolist() == [False, False, False, True]  # the others have too few yet


def test_a_loss_that_is_not_a_number_stops_before_anything_is_remembered():
    model = build_tiny()
    with torch.no_grad():
        model.decode_head.query_feat.weight[0, 0] = torch.nan
    with pytest.raises(NonFiniteLossError, match="(?s)loss_cls.*clip0"):
        losses_of(model, tiny_batch())
    assert not model.criterion.mixture.bank.count.any()
    assert model.criterion.last_assignment is None


def test_mixtures_need_a_classifier_that_has_them():
    linear = dict(classifier=dict(type="LinearClassifier"))
    model = build_tiny(tiny_model_cfg(decode_head=linear, criterion=dict(prompting=None)))
    with pytest.raises(ValueError, match="got a LinearClassifier and a mixture"):
        losses_of(model, tiny_batch())


def test_mixtures_that_nothing_fits_are_refused():
    model = build_tiny(tiny_model_cfg(criterion=dict(mixture=None)))
    with pytest.raises(ValueError, match="got a GMMClassifier and None"):
        losses_of(model, tiny_batch())


@pytest.mark.parametrize(
    "criterion",
    [
        dict(prompting=dict(acp_weight=0.0, vcp_weight=0.0, pcl_weight=0.0)),
        dict(prompt_weight=0.0),
    ],
    ids=["weights", "lambda"],
)
def test_without_weights_the_model_is_the_baseline_to_the_bit(criterion):
    baseline = build_tiny(linear_cfg())
    other = build_tiny(
        tiny_model_cfg(
            decode_head=dict(classifier=dict(type="LinearClassifier")),
            criterion=dict(criterion, mixture=None),
        )
    )
    assert list(baseline.state_dict()) == list(other.state_dict())
    optimizers = [torch.optim.AdamW(model.parameters(), lr=1e-3) for model in (baseline, other)]
    for step in range(2):
        totals = []
        for model, optimizer in zip((baseline, other), optimizers, strict=True):
            losses = losses_of(model.train(), tiny_batch(seed=step), seed=step)
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
            totals.append({name: loss.item() for name, loss in losses.items()})
        assert totals[0] == totals[1]
    assert same_predictions(*(predictions_of(m, tiny_batch()) for m in (baseline, other)))


def test_with_the_cpm_path_the_class_agnostic_losses_start_the_same():
    # Where nothing is drawn at random: queries and prompts share the draws of points.
    grid = dict(set_loss=dict(points=dict(type="grid")))
    without, whole = (
        losses_of(build_tiny(tiny_model_cfg(criterion=criterion)), tiny_batch())
        for criterion in (dict(grid, prompting=None), grid)
    )
    for name, loss in without.items():
        torch.testing.assert_close(loss, whole[name], rtol=1e-5, atol=1e-6)


def test_a_model_for_inference_loads_the_rest_and_predicts_the_same_to_the_bit():
    trained = build_tiny()
    bare = build_tiny(tiny_model_cfg(criterion=None), seed=9)
    state = trained.state_dict()
    kept = {key: value for key, value in state.items() if not key.startswith("criterion.")}
    assert len(kept) < len(state)
    bare.load_state_dict(kept, strict=True)
    assert same_predictions(*(predictions_of(m, tiny_batch()) for m in (trained, bare)))
    with pytest.raises(ValueError, match="built for inference"):
        losses_of(bare, tiny_batch())


def test_a_step_of_training_moves_every_part():
    model = build_tiny().train()
    before = {name: value.clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    sum(losses_of(model, tiny_batch()).values()).backward()
    optimizer.step()
    moved = {
        name.split(".")[0] for name, p in model.named_parameters() if (p != before[name]).any()
    }
    assert moved == {"backbone", "audio_backbone", "audio_decoder", "decode_head", "criterion"}
    assert (
        model.decode_head.classifier.log_scale != before["decode_head.decoder.classifier.log_scale"]
    )


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="merge is 'mean'; choose one of"):
        build_tiny(tiny_model_cfg(merge="mean"))
    with pytest.raises(ValueError, match="least_heard is 1; give a probability below 1"):
        build_tiny(tiny_model_cfg(least_heard=1))
    with pytest.raises(ValueError, match="no_object_odds is 0; give a factor above 0"):
        build_tiny(tiny_model_cfg(no_object_odds=0))
    with pytest.raises(ValueError, match="TD-A has 0"):
        build_tiny(tiny_model_cfg(decode_head=dict(num_audio_layers=0)))
    for ears in (dict(type="YAMNet"), dict(type="Cnn14", out_indices=(1,)), dict(type="HTSAT")):
        cfg = tiny_model_cfg()
        cfg["audio_backbone"] = dict(ears, drop_bin="dc")
        with pytest.raises(ValueError, match="is 'nyquist' and audio_backbone.drop_bin 'dc'"):
            build_tiny(cfg)
    for wrong in (
        dict(querys=3),
        dict(decode_head=dict(strides=[4])),
        dict(criterion=dict(mask=1)),
    ):
        with pytest.raises(TypeError):
            build_tiny(tiny_model_cfg(**wrong))


def test_losses_add_up_as_mmengine_has_it():
    model = build_tiny()
    losses = losses_of(model, tiny_batch())
    total, shown = model.parse_losses(losses)
    expected, log = BaseModel.parse_losses(model, losses)
    torch.testing.assert_close(total, expected)
    assert list(shown) == list(log)
    for name, value in log.items():
        torch.testing.assert_close(shown[name], value.detach())


def test_inference_asks_the_first_and_the_last_layer_alone():
    """What they say is what they say among all layers, of which a prediction reads no other."""
    model = build_tiny().eval()
    data = model.data_preprocessor(tiny_batch(), False)
    visual = model.extract_visual(data["inputs"]["img"])
    audio = model.extract_audio(data["inputs"]["specgram"])
    with torch.no_grad():
        every = model.decode_head(visual, audio)
        output = model.encode_decode(data["inputs"], [])
    assert len(every.cls_logits) > 2 and len(output.cls_logits) == 2
    for layer in (0, -1):
        torch.testing.assert_close(output.cls_logits[layer], every.cls_logits[layer])
        torch.testing.assert_close(output.masks(layer), every.masks(layer))
