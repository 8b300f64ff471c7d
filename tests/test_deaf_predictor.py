"""The predictor that hears nothing: its formula, its fit, and what it is fitted to."""

import math
import random

import numpy as np
import pytest
import torch
from tiny import FRAMES, NUM_CLASSES, build_tiny, tiny_batch

from projects.cpm_avs.training.diagnostics import separation
from projects.cpm_avs.training.diagnostics.deaf_predictor import (
    SHRINKAGE,
    deaf_ratio,
    fit_deaf_logits,
)
from projects.cpm_avs.training.diagnostics.separation import (
    fit_deaf_predictor,
    measure_separation,
)
from projects.cpm_avs.training.random_state import get_random_state


def packed(count: int, *, num_classes: int = NUM_CLASSES) -> list[dict]:
    """Samples of classes 1, 2, ..., 1, 2, ... with one sound, three times as loud for class 1.

    Batches are every ceil(count / 8)-th one, which must be odd for both classes to be in each.
    """
    batch = tiny_batch(count, num_classes=num_classes)
    sound = torch.randn(batch["inputs"]["waveform"][0].shape, generator=torch.manual_seed(0))
    return [
        dict(
            inputs=dict(
                img=batch["inputs"]["img"][i],
                waveform=(0.3 if i % (num_classes - 1) == 0 else 0.1) * sound,
            ),
            data_samples=batch["data_samples"][i],
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def model():
    return build_tiny().eval()


class TestRatio:
    def test_by_hand(self):
        """Logits ln 3 and ln 3: 3/4 for either class, 9/10 for both, 1/2 for none."""
        logits = torch.tensor([[5.0, 5.0], [math.log(3), 0.0], [math.log(3), -math.log(3)]])
        sounding = torch.tensor([[0, 1, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0]]).bool()
        ratio = deaf_ratio(logits, sounding, 7)
        assert ratio.shape == (4, 7, 2)
        assert torch.equal(ratio, ratio[:, :1].expand(-1, 7, -1))
        expected = torch.tensor([[0.75, 0.5], [0.75, 0.25], [0.9, 0.25], [0.5, 0.5]])
        torch.testing.assert_close(ratio[:, 0], expected)


class TestFit:
    def test_by_hand(self):
        """One sample's minimum is where sigmoid(w) - r + 2 * 0.1 w = 0: w = 1 for r = 0.9311."""
        ratio = torch.tensor([[1 / (1 + math.exp(-1)) + 2 * SHRINKAGE, 0.5]])
        logits = fit_deaf_logits(torch.tensor([[False, True]]), ratio, torch.ones(1, 2))
        torch.testing.assert_close(
            logits, torch.tensor([[0.0, 0.0], [1.0, 0.0]]), atol=1e-4, rtol=0
        )

    def test_mean_ratios_of_classes_come_back(self):
        sounding = torch.eye(4)[1:].bool().repeat(400, 1)
        means = torch.tensor([[0.2, 0.5, 0.9], [0.7, 0.4, 0.6], [0.5, 0.5, 0.1]])
        spread = 0.1 * torch.randn(1200, 3, generator=torch.manual_seed(0)).clamp(-1, 1)
        ratio = means.repeat(400, 1) + spread
        logits = fit_deaf_logits(sounding, ratio, torch.ones(1200, 3))
        found = deaf_ratio(logits, torch.eye(4)[1:].bool(), 1)[:, 0]
        torch.testing.assert_close(found, means, atol=0.02, rtol=0)
        assert not logits[0].any()  # nothing says what the background sounds like

    def test_classes_that_sound_together_share_their_logit(self):
        both = torch.tensor([[False, True, True]]).repeat(300, 1)
        logits = fit_deaf_logits(both, torch.full((300, 1), 0.9), torch.ones(300, 1))
        torch.testing.assert_close(
            logits[1:], torch.full((2, 1), math.log(9) / 2), atol=0.01, rtol=0
        )

    def test_samples_weigh_by_the_frames_that_count(self):
        sounding = torch.tensor([[False, True]]).repeat(300, 1)
        ratio = torch.tensor([[0.2], [0.8], [0.5]]).repeat(100, 1)
        share = torch.tensor([[1.0], [0.25], [0.0]]).repeat(100, 1)
        logits = fit_deaf_logits(sounding, ratio, share)
        expected = (0.2 + 0.25 * 0.8) / 1.25
        assert float(logits[1].sigmoid()) == pytest.approx(expected, abs=2e-3)


class TestFitOnSamples:
    def test_recovers_how_loud_classes_are(self, model):
        """One sound is three times the other: it has 3/4 of the mixture in every bin."""
        logits = fit_deaf_predictor(model, NUM_CLASSES, packed(72))
        found = deaf_ratio(logits, torch.eye(3)[1:].bool(), FRAMES)
        torch.testing.assert_close(found[0], torch.full((FRAMES, 256), 0.75), atol=0.01, rtol=0)
        torch.testing.assert_close(found[1], torch.full((FRAMES, 256), 0.25), atol=0.01, rtol=0)

    def test_binary_masks_have_one_class(self, model):
        """Whoever is mixed with whom: equal sounds have a half each."""
        logits = fit_deaf_predictor(model, 2, packed(16, num_classes=2))
        torch.testing.assert_close(logits, torch.zeros(2, 256), atol=1e-3, rtol=0)

    def test_what_can_not_be_mixed_says_nothing(self, model):
        logits = fit_deaf_predictor(model, NUM_CLASSES, packed(8)[::2])
        assert not logits.any()

    def test_reads_no_more_samples_than_it_may(self, model):
        made, read = packed(20), []

        class Counted(list):
            def __getitem__(self, index):
                read.append(index)
                return super().__getitem__(index)

        fit_deaf_predictor(model, NUM_CLASSES, Counted(made), count=10)
        assert sorted(read) == list(range(0, 20, 2))

    def test_augmentation_repeats_and_leaves_all_generators_alone(self, model):
        class Augmented(list):
            def __getitem__(self, index):
                sample = super().__getitem__(index)
                factor = random.random() + np.random.random() + float(torch.rand(()))
                louder = factor * sample["inputs"]["waveform"]
                return dict(sample, inputs=dict(sample["inputs"], waveform=louder))

        samples = Augmented(packed(8))
        before = get_random_state()
        first = fit_deaf_predictor(model, NUM_CLASSES, samples)
        after = get_random_state()
        assert after["python"][1].equal(before["python"][1])
        assert (
            after["numpy"][0].equal(before["numpy"][0])
            and after["numpy"][1:] == before["numpy"][1:]
        )
        assert after["torch"].equal(before["torch"])
        random.random(), np.random.random(), torch.rand(())
        assert torch.equal(fit_deaf_predictor(model, NUM_CLASSES, samples), first)


class TestMeasured:
    @pytest.fixture
    def masks(self, monkeypatch) -> list[torch.Tensor]:
        """What ``deaf_ratio`` answered."""
        answers = []

        def recorded(*arguments):
            answers.append(deaf_ratio(*arguments))
            return answers[-1]

        monkeypatch.setattr(separation, "deaf_ratio", recorded)
        return answers

    def test_another_sound_does_not_change_the_answer(self, model, masks):
        path = model.criterion.prompted_path
        logits = fit_deaf_predictor(model, NUM_CLASSES, packed(24))
        samples, others = packed(4), packed(4)
        for sample, other in zip(others, samples[::-1], strict=True):
            sample["inputs"] = dict(sample["inputs"], waveform=other["inputs"]["waveform"].flip(-1))
        heard = [measure_separation(model, path, kind, 4, logits) for kind in (samples, others)]
        assert torch.equal(*masks)
        # The scores do: each class now has the other's loudness.
        assert heard[0]["deaf_ratio_error"] < 0.05 and heard[1]["deaf_ratio_error"] > 0.4
        assert heard[0]["ratio_error"] != heard[1]["ratio_error"]

    def test_the_same_bins_and_sounds_as_the_prompts(self, model):
        """Of 3/4 and 1/4, which its names tell, 0.5 everywhere is off by 1/4."""
        path = model.criterion.prompted_path
        logits = fit_deaf_predictor(model, NUM_CLASSES, packed(72))
        measured = measure_separation(model, path, packed(4), 4, logits)
        assert measured["half_ratio_error"] == pytest.approx(0.25, abs=1e-4)
        assert measured["half_loud_ratio_error"] == pytest.approx(0.25, abs=1e-4)
        assert measured["deaf_ratio_error"] == pytest.approx(0, abs=0.01)
        assert measured["deaf_loud_ratio_error"] == pytest.approx(0, abs=0.01)
        assert set(measured) >= {"ratio_error", "loud_ratio_error"}

    def test_is_left_out_where_there_is_none(self, model):
        measured = measure_separation(model, model.criterion.prompted_path, packed(4), 4)
        assert not any(name.startswith("deaf_") for name in measured)
