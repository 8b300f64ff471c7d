"""Recorded networks on the CPU, where they run as they are; tests/test_gpu.py replays graphs."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from tiny import build_tiny, predictions_of, tiny_batch, tiny_model_cfg

from projects.cpm_avs.errors import UserError
from projects.cpm_avs.inference import AVSInferencer
from projects.cpm_avs.inference import recorded as module
from projects.cpm_avs.inference.recorded import RecordedSegmentor, record
from projects.cpm_avs.inference.sources import open_sources


@pytest.fixture(scope="module")
def model():
    return build_tiny(tiny_model_cfg(criterion=None)).eval()


def noted(monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[int]]:
    """Numbers of pictures that networks were recorded for, and that they were given."""
    kept: list[int] = []
    given: list[int] = []

    original = RecordedSegmentor._recorded

    def recorded(self, shape, inputs):
        kept.append(len(inputs[0]))
        network = original(self, shape, inputs)
        written = network(*inputs)

        def replay(*latest):
            """Like a graph it writes into the same tensors each time."""
            given.append(len(latest[0]))
            for place, found in zip(written, network(*latest), strict=True):
                place.copy_(found)
            return written

        return replay

    monkeypatch.setattr(RecordedSegmentor, "_recorded", recorded)
    return kept, given


def assert_same(found: list, expected: list) -> None:
    for one, other in zip(found, expected, strict=True):
        best = other.seg_logits.data.amax(0, keepdim=True)
        torch.testing.assert_close(one.pred_scores.data, best, rtol=0, atol=1e-5)
        assert torch.equal(one.pred_sem_seg.data, other.pred_sem_seg.data)
        assert one.pred_audio_classes == other.pred_audio_classes


@pytest.mark.parametrize("merge", ["max", "sum"])
@pytest.mark.parametrize("size", [64, [(50, 70), (50, 70)]])
def test_predictions_are_those_of_the_plain_model(merge, size):
    model = build_tiny(tiny_model_cfg(criterion=None, merge=merge)).eval()
    batch = tiny_batch(size=size)
    for sample in batch["data_samples"]:
        sample.set_metainfo(dict(ori_shape=(90, 120)))  # resized, padded and cropped again
    assert_same(record(model).best_step(deepcopy(batch)), predictions_of(model, batch))


def test_pictures_of_other_sizes_go_one_by_one(model, monkeypatch):
    """None is padded to the size of another, as they would be together."""
    kept, _ = noted(monkeypatch)
    sizes = [(64, 96), (50, 70), (64, 96)]
    batch = tiny_batch(3, size=sizes)
    found = record(model).best_step(deepcopy(batch))
    for index in range(3):
        alone = {name: [values[index]] for name, values in batch["inputs"].items()}
        alone = dict(inputs=alone, data_samples=[batch["data_samples"][index]])
        assert_same([found[index]], predictions_of(model, alone))
    assert kept == [1, 1]


def test_a_result_is_not_written_over_by_the_next(model, monkeypatch):
    noted(monkeypatch)
    fast = record(model)
    (first,) = fast.best_step(tiny_batch(1, seed=0))
    kept = first.pred_scores.data.clone()
    fast.best_step(tiny_batch(1, seed=1))
    assert torch.equal(first.pred_scores.data, kept)


def test_fewer_pictures_of_a_size_are_filled_up(model, monkeypatch):
    kept, given = noted(monkeypatch)
    fast = record(model)
    for count in (2, 3, 1, 3):
        batch = tiny_batch(count, seed=count)
        found = fast.best_step(deepcopy(batch))
        assert len(found) == count
        assert_same(found, predictions_of(model, batch))
    assert kept == [2, 3]
    assert given == [2, 3, 2, 3]  # one picture goes with the graph of two, the smaller one


def test_another_size_or_precision_is_recorded_anew(model, monkeypatch):
    kept, _ = noted(monkeypatch)
    fast = record(model)
    fast.best_step(tiny_batch(2))
    fast.best_step(tiny_batch(2, size=96))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fast.best_step(tiny_batch(2))
    fast.best_step(tiny_batch(2))
    assert kept == [2, 2, 2]


def test_the_shape_not_asked_for_the_longest_makes_room(model, monkeypatch):
    kept, _ = noted(monkeypatch)
    monkeypatch.setattr(module, "_MOST_SHAPES", 2)
    fast = record(model)
    for size in (64, 96, 64, 128, 64):  # 128 takes the place of 96
        fast.best_step(tiny_batch(1, size=size))
    assert len(kept) == 3
    fast.best_step(tiny_batch(1, size=96))
    assert len(kept) == 4


def test_the_inferencer_takes_it():
    """The committed weights: three frames of noise, two at a time; the last is filled up."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, 90, 120, 3), dtype=np.uint8)
    clip = open_sources((frames, rng.normal(0, 0.1, 48000).astype(np.float32)))[0]
    plain = AVSInferencer(device="cpu", batch_size=2)
    fast = AVSInferencer(device="cpu", batch_size=2, recorded=True)
    for (_, one), (_, other) in zip(plain.stream(clip), fast.stream(clip), strict=True):
        np.testing.assert_array_equal(one.class_map, other.class_map)
        assert one.scores == pytest.approx(other.scores, abs=1e-5)


def test_the_inferencer_has_the_precisions():
    frame = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    sound = 0.1 * np.random.default_rng(1).standard_normal(16000).astype(np.float32)
    full, half = (
        AVSInferencer(device="cpu", precision=one)((frame, sound)).frames[0]
        for one in ("fp32", "bf16")
    )
    assert (full.class_map == half.class_map).mean() > 0.9
    with pytest.raises(UserError, match="int8.*fp32, fp16, bf16"):
        AVSInferencer(device="cpu", precision="int8")
