"""Recorded networks on the CPU, where they run as they are; tests/test_gpu.py replays graphs."""

from copy import deepcopy

import pytest
import torch
from tiny import build_tiny, tiny_batch, tiny_model_cfg

from projects.cpm_avs.inference import recorded as module
from projects.cpm_avs.inference.recorded import RecordedSegmentor, record


@pytest.fixture(scope="module")
def model():
    return build_tiny(tiny_model_cfg(criterion=None)).eval()


def noted(monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[int]]:
    """Numbers of pictures that networks were recorded for, and that they were given."""
    kept: list[int] = []
    given: list[int] = []

    def recorded(self, img, specgram):
        kept.append(len(img))

        def network(img, specgram):
            given.append(len(img))
            return self.network(img, specgram)

        return network

    monkeypatch.setattr(RecordedSegmentor, "_recorded", recorded)
    return kept, given


@pytest.mark.parametrize("size", [64, [(64, 96), (50, 70)]])
def test_predictions_are_those_of_the_plain_model(model, size):
    batch = tiny_batch(size=size)
    with torch.no_grad():
        expected = model.test_step(deepcopy(batch))
    found = record(model).test_step(deepcopy(batch))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.seg_logits.data, other.seg_logits.data, rtol=0, atol=1e-5)
        assert one.pred_audio_classes == other.pred_audio_classes


def test_fewer_pictures_of_a_size_are_filled_up(model, monkeypatch):
    kept, given = noted(monkeypatch)
    fast = record(model)
    for count in (2, 3, 1, 3):
        batch = tiny_batch(count, seed=count)
        found = fast.test_step(deepcopy(batch))
        with torch.no_grad():
            expected = model.test_step(deepcopy(batch))
        assert len(found) == count
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(
                one.seg_logits.data, other.seg_logits.data, rtol=0, atol=1e-5
            )
    assert kept == [2, 3]
    assert given == [2, 3, 2, 3]  # one picture goes with the graph of two, the smaller one


def test_another_size_or_precision_is_recorded_anew(model, monkeypatch):
    kept, _ = noted(monkeypatch)
    fast = record(model)
    fast.test_step(tiny_batch(2))
    fast.test_step(tiny_batch(2, size=96))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fast.test_step(tiny_batch(2))
    fast.test_step(tiny_batch(2))
    assert kept == [2, 2, 2]


def test_the_shape_not_asked_for_the_longest_makes_room(model, monkeypatch):
    kept, _ = noted(monkeypatch)
    monkeypatch.setattr(module, "_MOST_SHAPES", 2)
    fast = record(model)
    for size in (64, 96, 64, 128, 64):  # 128 takes the place of 96
        fast.test_step(tiny_batch(1, size=size))
    assert len(kept) == 3
    fast.test_step(tiny_batch(1, size=96))
    assert len(kept) == 4
