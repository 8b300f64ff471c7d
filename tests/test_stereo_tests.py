"""Swapped channels and panned sounds: the scores by hand, and the command."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from tiny import build_tiny
from tiny_config import shrink

from projects.cpm_avs.commands import stereo_tests
from projects.cpm_avs.evaluation.stereo_scores import (
    change_over,
    coloured_shares,
    pan_scores,
    swap_scores,
    swappable,
)
from projects.cpm_avs.launch import plain_errors

ROOT = Path(__file__).resolve().parents[1]


def test_shares_of_the_instances():
    predicted = np.array([[1, 1, 0, 2], [1, 0, 1, 1]])
    instances = np.zeros((2, 2, 4), bool)
    instances[0, :, :2] = instances[1, :, 2:] = True
    assert coloured_shares(predicted, instances, 1).tolist() == [0.75, 0.5]
    assert coloured_shares(predicted, instances, 2).tolist() == [0, 0.25]


def test_swapping_by_hand():
    """Moved; right and stayed; wrong both times; right and then neither; neither and then right."""
    normal = np.array([[0.9, 0.1], [0.9, 0.8], [0.0, 0.5], [0.6, 0.0], [0.0, 0.0]])
    swapped = np.array([[0.2, 0.7], [0.9, 0.8], [0.0, 0.5], [0.3, 0.3], [0.4, 0.0]])
    scores = swap_scores(normal, swapped)
    assert (scores.scenes, scores.right, scores.moved, scores.stayed) == (5, 60, 20, 40)
    assert swappable((0.2, 0.9)) and swappable((0.6, 0.5)) and not swappable((0.4, 0.2))


def test_the_change_over_by_hand():
    """0.6 behind at 0.25 and 0.2 ahead at 0.5: three quarters of the way between them."""
    steps = np.array([0, 0.25, 0.5, 1])
    shares = np.array([[0.9, 0.1], [0.7, 0.1], [0.4, 0.6], [0.0, 1.0]])
    assert change_over(shares, steps) == pytest.approx(0.4375)
    assert math.isnan(change_over(shares[::-1], steps))
    assert math.isnan(change_over(np.ones((4, 2)), steps))
    late = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # half-way from 0.5 to 1
    scores = pan_scores(np.array([shares, late, shares[::-1], np.ones((4, 2))]), steps)
    assert (scores.scenes, scores.crossed) == (4, 50)
    assert scores.middle == pytest.approx((0.4375 + 0.75) / 2)
    assert scores.error == pytest.approx((0.0625 + 0.25) / 2)


def sees_what_it_hears(self, pair, sounds):
    """Colours the instance that is nearer to where the sound comes from."""
    maps = []
    for sound in sounds:
        left, right = np.abs(sound).sum(1)
        place = right / (left + right)
        nearest = np.argmin([abs(own - place) for own in pair.places])
        maps.append(pair.masks[nearest] * pair.label)
    return maps


@pytest.fixture
def config(tmp_path):
    """A small model with random weights, and its test scenes without off-screen sounds."""
    cfg = shrink(
        Config.fromfile(ROOT / "configs/cpm_mbv2-yamnet_stamps-msmi_position.py"), narrow=True
    )
    cfg.test_dataloader.dataset.update(num_scenes=12, offscreen_prob=0.0)
    cfg.dump(tmp_path / "small.py")
    torch.save(build_tiny(cfg.model).state_dict(), tmp_path / "small.pth")
    return [str(tmp_path / "small.py"), str(tmp_path / "small.pth")]


def run(config, tmp_path, *more: str) -> dict:
    out = tmp_path / "pan.png"
    stereo_tests.main([*config, "--out", str(out), "--show", "1", *more])
    assert out.stat().st_size > 10_000
    return json.loads(out.with_suffix(".json").read_text())


def test_who_hears_where_passes(config, tmp_path, monkeypatch):
    monkeypatch.setattr(stereo_tests.Listener, "predict", sees_what_it_hears)
    scores = run(config, tmp_path, "--steps", "21")
    assert 3 < scores["swap"]["scenes"] <= scores["pan"]["scenes"] <= 12
    assert scores["swap"] | dict(right=100, moved=100, stayed=0) == scores["swap"]
    assert scores["pan"]["crossed"] == 100 and scores["pan"]["error"] < 0.06


def test_who_only_sees_fails(config, tmp_path):
    scores = run(config, tmp_path, "--num", "2", "--steps", "3")
    assert scores["swap"]["moved"] == 0 and scores["pan"]["crossed"] == 0


@pytest.mark.parametrize(
    ("setting", "message"),
    [("num_channels=1", "composed scenes with stereo sound"), ("subset=ms", "two instances")],
)
def test_other_scenes_are_refused(config, tmp_path, setting, message):
    options = [f"test_dataloader.dataset.{setting}"]
    with pytest.raises(SystemExit, match=message), plain_errors():
        run(config, tmp_path, "--cfg-options", *options)
