"""Smoothing along a clip: the average and the margin by hand, clips in parts, and bad settings."""

import math
from copy import deepcopy

import pytest
import torch
from query_outputs import CLASSES, predictions, unchanged
from tiny import build_tiny, clip_batch, predictions_of, tiny_model_cfg

from projects.cpm_avs.inference.predictor import FrameMemory, Predictor
from projects.cpm_avs.models.clip_smoothing import ClipSmoothing
from projects.cpm_avs.models.mask_merge import best_of_max, merge_max

SMOOTHING = dict(seconds=0.2, margin=0.1)
LOOKING_BACK = dict(decode_head=dict(time=dict(type="ClipAttention", window=3)))
SURE = 50.0  # a logit whose sigmoid is 1 in float32


def smooth_model(**overrides):
    return build_tiny(tiny_model_cfg(smoothing=SMOOTHING, criterion=None, **overrides)).eval()


def timed_batch(frames, step=1 / 12):
    batch = clip_batch(frames)
    for number, sample in enumerate(batch["data_samples"]):
        sample.set_metainfo(dict(frame_time=number * step))
    return batch


def run(smoothing, frames):
    """``frames``: (time, class logits, mask logits) each."""
    drawn = None
    for time, cls_logits, mask_logits in frames:
        drawn = smoothing(cls_logits, mask_logits, unchanged, time, drawn)
    return drawn


def test_the_average_by_hand():
    """Half a second later half of what was is left, for a time constant of 0.5 s / ln 2."""
    smoothing = ClipSmoothing(seconds=0.5 / math.log(2), margin=0.0)
    first = torch.tensor([[0.1, 0.8, 0.1]]).log(), torch.full((1, 1, 2), 4.0)
    second = torch.tensor([[0.5, 0.2, 0.3]]).log(), torch.tensor([[[-2.0, 0.0]]])
    drawn = run(smoothing, [(1.0, *first), (1.5, *second)])
    torch.testing.assert_close(drawn.probabilities, torch.tensor([[0.3, 0.5, 0.2]]))
    torch.testing.assert_close(drawn.mask_logits, torch.tensor([[[1.0, 2.0]]]))
    # Alone the second frame is background; with the first it is still class 1, 0.5 times its mask.
    assert drawn.labels.tolist() == [[[1, 1]]]
    torch.testing.assert_close(drawn.scores, 0.5 * torch.tensor([[[1.0, 2.0]]]).sigmoid())


def test_the_rate_of_the_frames_does_not_matter():
    """Two steps of a quarter of a second are one of a half."""
    smoothing = ClipSmoothing(seconds=0.3, margin=0.0)
    old, new = predictions(0), predictions(1)
    once = run(smoothing, [(0.0, *old), (0.5, *new)])
    twice = run(smoothing, [(0.0, *old), (0.25, *new), (0.5, *new)])
    torch.testing.assert_close(once.probabilities, twice.probabilities)
    torch.testing.assert_close(once.mask_logits, twice.mask_logits)


@pytest.mark.parametrize(
    ("claims", "label", "score"), [((0.4, 0.45), 1, 0.4), ((0.3, 0.5), 2, 0.5)]
)
def test_a_label_gives_way_to_a_margin_by_hand(claims, label, score):
    """Class 1 is held; class 2 claims the pixel by 0.05 and by 0.2 more."""
    (one, other), masks = claims, torch.full((2, 1, 1), SURE)
    table = torch.tensor([
        [(1 - one) / 2, one, 0, (1 - one) / 2], [(1 - other) / 2, 0, other, (1 - other) / 2]
    ])  # fmt: skip
    best, labels = best_of_max(table.log(), masks, unchanged, torch.tensor([[[1]]]), 0.1)
    assert labels.item() == label
    torch.testing.assert_close(best.item(), score)


def test_the_margin_against_maps_of_every_class():
    """Where some query names background: all maps, and a lead for the class that was there."""
    changed = 0
    for seed in range(50):
        cls_logits, mask_logits = predictions(seed)
        cls_logits[0, 0] += 9.0
        scores = merge_max(cls_logits, mask_logits, unchanged)
        named = cls_logits.argmax(-1).unique()
        generator = torch.Generator().manual_seed(seed)
        held = torch.randint(CLASSES, (1, *scores.shape[1:]), generator=generator)
        # What no query names any longer has no claim to hold on to.
        lead = torch.zeros_like(scores).scatter_(0, held, 0.1 * torch.isin(held, named))
        expected = (scores + lead).argmax(0, keepdim=True)
        best, labels = best_of_max(cls_logits, mask_logits, unchanged, held, 0.1)
        assert torch.equal(labels, expected)
        torch.testing.assert_close(best, scores.gather(0, expected))
        changed += int((expected[0] != scores.argmax(0)).sum())
    assert changed


def test_background_is_held_where_no_query_names_it():
    table = torch.tensor(
        [[0.1, 0.8, 0.1]]
    ).log()  # the pixel's claims: 0.8 m, background 0.8 (1 - m)
    mask = torch.tensor([[[0.55]]]).logit()
    assert best_of_max(table, mask, unchanged)[1].item() == 1  # 0.44 against 0.36
    for margin, label in ((0.05, 1), (0.1, 0)):
        best, labels = best_of_max(table, mask, unchanged, torch.tensor([[[0]]]), margin)
        assert labels.item() == label
        torch.testing.assert_close(best.item(), 0.44 if label else 0.36)


def test_frames_of_another_size_or_of_an_earlier_time_begin_anew():
    smoothing = ClipSmoothing(**SMOOTHING)
    old, (cls_logits, masks) = predictions(0), predictions(1)
    alone = run(smoothing, [(0.1, cls_logits, masks)])
    for before in ((0.1, *old), (0.2, *old), (0.0, old[0], old[1][:, 1:])):
        found = run(smoothing, [before, (0.1, cls_logits, masks)])
        assert torch.equal(found.scores, alone.scores)
        assert torch.equal(found.labels, alone.labels)
    assert not torch.equal(
        run(smoothing, [(0.0, *old), (0.1, cls_logits, masks)]).scores, alone.scores
    )


@pytest.mark.parametrize("head", [{}, LOOKING_BACK], ids=["frames", "time"])
def test_a_stream_is_the_whole_clip(head):
    model, batch = smooth_model(**head), timed_batch(5)
    predictor = Predictor(model, torch.device("cpu"), precision="fp32", recorded=False)
    whole = predictor(deepcopy(batch), FrameMemory())
    memory, parts = FrameMemory(), []
    for part in (slice(0, 1), slice(1, 4), slice(4, 5)):
        inputs = {name: values[part] for name, values in batch["inputs"].items()}
        data = dict(inputs=inputs, data_samples=deepcopy(batch["data_samples"][part]))
        parts += predictor(data, memory)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one.pred_scores.data, other.pred_scores.data)
        assert torch.equal(one.pred_sem_seg.data, other.pred_sem_seg.data)
        assert one.pred_audio_classes == other.pred_audio_classes
    # The first frame is drawn as ever, and single frames, as in a test, are.
    if not head:
        single = predictions_of(build_tiny().eval(), batch)
        torch.testing.assert_close(
            single[0].seg_logits.data.amax(0, True), whole[0].pred_scores.data
        )
        assert not torch.allclose(
            single[4].seg_logits.data.amax(0, True), whole[4].pred_scores.data
        )
        for one, other in zip(single, predictions_of(model, batch), strict=True):
            assert torch.equal(one.seg_logits.data, other.seg_logits.data)


def test_what_is_asked_for_in_vain():
    with pytest.raises(ValueError, match="leave recorded"):
        Predictor(smooth_model(), torch.device("cpu"), precision="fp32", recorded=True)
    with pytest.raises(ValueError, match="smoothing is for merge='max'"):
        smooth_model(merge="sum")
    for seconds in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match=r"smoothing\.seconds"):
            ClipSmoothing(seconds=seconds, margin=0.1)
    for margin in (-0.1, 1, math.nan):
        with pytest.raises(ValueError, match=r"smoothing\.margin"):
            ClipSmoothing(seconds=0.2, margin=margin)
