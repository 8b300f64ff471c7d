"""Flicker, onset and offset by hand, and both on composed clips by one command."""

import json
import math

import numpy as np
import pytest
import torch
from mmengine.config import Config

from projects.cpm_avs.benchmarking import clip_scores
from projects.cpm_avs.benchmarking.clip_scores import clip_scenes, score_clips
from projects.cpm_avs.datasets.composed.clip import TURN_SECONDS, compose_clip
from projects.cpm_avs.datasets.composed.stamps import StampsDataset
from projects.cpm_avs.evaluation.event_times import EventErrors, Stretch, event_errors
from projects.cpm_avs.evaluation.flicker import Flicker, flicker_counts
from projects.cpm_avs.inference.preparation import Preparation
from projects.cpm_avs.inference.results import FrameResult
from projects.cpm_avs.visualization.clip_figure import ClipAreas, areas_figure, class_shares


def test_flicker_of_two_frames_by_hand():
    owners = np.array([[1, 1, 2, 0]]), np.array([[1, 2, 2, 0]])
    labels = np.array([[5, 5, 0, 7]]), np.array([[6, 0, 0, 8]])
    # Still: the first pixel (object 1, its label changes) and the third (object 2, it does not).
    assert flicker_counts(labels, owners) == (1, 2)


def test_flicker_of_a_clip_by_hand():
    owners = np.array([[1, 1, 2, 2]])
    silent, sound = frozenset(), frozenset({1})
    meter = Flicker()
    for label, sounding in ((3, sound), (3, sound), (0, sound), (3, silent), (3, silent)):
        meter.add(np.full((1, 4), label), owners, sounding)
    # Pairs that count: 1-2 (no change), 2-3 (all 4 change), 4-5 (none); 3-4 has another sound.
    assert (meter.changed, meter.counted) == (4, 12) and meter.share == pytest.approx(1 / 3)
    meter.begin_clip()
    meter.add(np.zeros((1, 4)), owners, silent)  # follows on nothing
    assert meter.counted == 12
    assert math.isnan(Flicker().share)


def test_onsets_and_offsets_by_hand():
    true = [Stretch(1, 0.0, 2.0), Stretch(1, 4.0, 6.0), Stretch(2, 2.0, 4.0), Stretch(3, 1.0, 2.0)]
    found = [
        Stretch(1, 0.3, 2.5),  # its truth begins with the clip: no onset; offset 0.5 late
        Stretch(1, 3.8, 6.0),  # onset 0.2 early; its truth ends with the clip: no offset
        Stretch(2, 2.1, 2.6),  # the shorter part of two
        Stretch(2, 2.8, 4.4),  # onset 0.8 late, offset 0.4 late
        Stretch(4, 0.0, 1.0),  # of a class that never sounds
    ]
    errors = event_errors(true, found, 6.0)
    assert np.allclose(sorted(errors.onsets), [0.2, 0.8])
    assert np.allclose(sorted(errors.offsets), [0.4, 0.5])
    assert (errors.missed, errors.false) == (1, 2)
    assert event_errors(true, true, 6.0) == EventErrors((0.0,) * 3, (0.0,) * 3)
    nothing = event_errors(true, [], 6.0)
    assert nothing == EventErrors(missed=4) and (nothing + errors).missed == 5


def test_pairs_overlap_for_as_long_as_possible_altogether():
    """The first one alone would take the second found stretch, and leave the other with nothing."""
    true = [Stretch(1, 0.0, 3.0), Stretch(1, 2.9, 5.0)]
    found = [Stretch(1, 0.0, 1.0), Stretch(1, 1.2, 4.0)]
    errors = event_errors(true, found, 6.0)
    assert (errors.missed, errors.false) == (0, 0)
    assert np.allclose(errors.onsets, [1.7]) and np.allclose(errors.offsets, [2.0, 1.0])


def test_composed_clips_know_their_objects():
    scenes = StampsDataset(
        subset="ms", split="test", num_scenes=2, image_size=32, pipeline=[], test_mode=True
    )
    clip = compose_clip(scenes, 1, seconds=4.0, fps=5.0)
    assert not np.array_equal(clip.frames, compose_clip(scenes, 0, seconds=4.0, fps=5.0).frames)
    labels = [0, *(thing.class_index for thing in scenes.plan(1).things)]
    for owners, mask, sounding in zip(clip.owners, clip.masks, clip.sounding, strict=True):
        heard = np.isin(owners, sorted(sounding))
        assert np.array_equal(np.where(heard, np.take(labels, owners), 0), mask)
    turn = round(TURN_SECONDS * 5)
    assert clip.sounding[0] == clip.sounding[turn - 1] != clip.sounding[turn]
    meter = Flicker()
    for frame in zip(clip.masks, clip.owners, clip.sounding, strict=True):
        meter.add(*frame)
    assert meter.share == 0 and meter.counted  # of the truth


class Oracle:
    """An inferencer that knows the truth of the clips, and names another class in some frames."""

    batch_size, model = 1, torch.nn.Module()
    preparation = Preparation((), 15360, 1, 16000)

    def __init__(self, scenes, wrong=()):
        self.scenes, self.wrong, self.clips = scenes, wrong, []
        self.classes = scenes.metainfo["classes"]

    def stream(self, clip):
        composed = self.clips.pop(0)
        assert clip.num_frames == len(composed.frames)
        for number, mask in enumerate(composed.masks):
            mask = np.where(mask > 0, 1, 0).astype(np.uint8) if number in self.wrong else mask
            labels = np.unique(mask[mask > 0]).tolist()
            yield None, FrameResult(0.0, mask, dict.fromkeys(labels, 1.0), self.classes)


def scored(monkeypatch, wrong=()):
    settings = dict(type="StampsDataset", subset="ms", split="test", num_scenes=9, image_size=32)
    wrapped = dict(type="ClipDataset", dataset=settings)
    config = Config(dict(test_dataloader=dict(dataset=wrapped)))
    scenes = clip_scenes(config, clips=2, seed=4)
    assert (len(scenes), scenes.scene_config.seed) == (2, 4)
    oracle = Oracle(scenes, wrong)

    def composed(*args, **settings):
        oracle.clips.append(compose_clip(*args, **settings))
        return oracle.clips[-1]

    monkeypatch.setattr(clip_scores, "compose_clip", composed)
    return score_clips(oracle, scenes, seconds=4.0, fps=5.0)


def test_the_truth_scores_best(monkeypatch):
    scores = scored(monkeypatch)
    assert (scores.clips, scores.frames, scores.delay, scores.window) == (2, 40, 0, 1)
    assert scores.flicker == scores.onset == scores.offset == scores.missed == scores.false == 0
    assert scores.stretches > 2 and scores.sound_ahead == 0.48 and scores.ms_per_frame > 0
    seen = round(scores.miou / 100 * 25)  # classes in neither map have an IoU of 0
    assert scores.miou == pytest.approx(100 * seen / 25)


def test_frames_that_name_another_class_flicker(monkeypatch):
    scores = scored(monkeypatch, wrong=(3,))
    assert scores.flicker > 0 and scores.miou < scored(monkeypatch).miou


def test_a_set_without_composed_clips_is_refused():
    config = Config(dict(test_dataloader=dict(dataset=dict(type="VPODataset"))))
    with pytest.raises(ValueError, match="'VPODataset'.*composes no scenes"):
        clip_scenes(config, clips=1, seed=None)


@pytest.mark.slow
def test_the_command(tmp_path, capsys):
    from projects.cpm_avs.commands import score_clips as command

    out = tmp_path / "clips.json"
    figure, weights = tmp_path / "clips.png", "data/checkpoints/cpm_mbv2-yamnet_stamps-394c6a35.pth"
    command.main(
        ["cpm_mbv2-yamnet_stamps_smooth", weights, "--clips", "1", "--seconds", "0.5"]
        + [
            "--out",
            str(out),
            "--figure",
            str(figure),
            "--beside",
            "cpm_mbv2-yamnet_stamps",
            weights,
        ]
    )
    assert figure.stat().st_size > 10_000
    shown = capsys.readouterr().out
    assert "flicker" in shown and "sound after the frame" in shown and "0.2 s" in shown
    found = json.loads(out.read_text())
    assert (found["frames"], found["window"], found["smoothing"]) == (6, 1, 0.2)


def test_shares_of_the_figure_by_hand():
    shares = class_shares([np.array([[0, 2], [2, 1]]), np.array([[0, 0], [0, 2]])], 4)
    assert shares.tolist() == [[0.25, 0.25, 0.5, 0], [0.75, 0, 0.25, 0]]
    names = ("ground", "dog", "cat", "owl")
    figure = areas_figure([ClipAreas({"truth": shares, "found": 0 * shares}, "a")], names, fps=2.0)
    truth, found = figure.axes
    assert [part.get_label() for part in truth.collections] == ["dog", "cat"]
    top = truth.collections[-1].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx(75) and truth.get_xlim() == (0, 1)
    assert [text.get_text() for text in found.get_legend().get_texts()] == ["dog", "cat"]


def test_another_model_is_shown_in_a_figure_alone(capsys):
    from projects.cpm_avs.commands import score_clips as command

    with pytest.raises(SystemExit):
        command.parse_args(["a", "b", "--beside", "c", "d"])
    assert "give --figure FILE" in capsys.readouterr().err
