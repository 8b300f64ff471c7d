"""Two methods on the same clips: the bootstrap against draws that are scored one by one."""

import csv
import json
import sys
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
import scipy.stats
from metric_frames import random_frames, score
from scored_folders import save, scored

from projects.cpm_avs.errors import UserError
from projects.cpm_avs.scoring import compare

ROOT = Path(__file__).resolve().parents[1]
DRAWS, SEED = 25, 4


def with_other_predictions(frames, seed: int):
    """The same truths under predictions of which some pixels are right."""
    generator = np.random.default_rng(seed)
    for frame in frames:
        label, pred = frame.gt_sem_seg.data.numpy(), frame.pred_sem_seg.data.numpy()
        known = (generator.random(label.shape) < 0.4) & (label != 255)
        pred[known] = label[known]
    return frames


def written(frames, folder: Path, kind: str) -> Path:
    for frame in frames:
        values = getattr(frame, kind).data[0].numpy().astype(np.uint8)
        save(folder / frame.clip_id / f"{frame.frame_index}.png", values)
    return folder


@pytest.fixture
def methods(tmp_path):
    """Frames of two methods in five clips of three classes, and their files."""
    first = random_frames(14, 3, clip_length=3)
    second = with_other_predictions(random_frames(14, 3, clip_length=3), seed=1)
    written(first, tmp_path / "truth", "gt_sem_seg")
    written(first, tmp_path / "A", "pred_sem_seg")
    written(second, tmp_path / "B", "pred_sem_seg")
    return first, second, tmp_path


def clips_of(tmp_path, *protocols):
    return [
        scored(tmp_path / name, tmp_path / "truth", *protocols, classes="3", encoding="index").clips
        for name in "AB"
    ]


def test_equals_draws_that_are_scored_one_by_one(methods):
    """Each draw's frames go through AVSMetric, and the interval is read off the sorted gaps."""
    *frames, tmp_path = methods
    names = list(dict.fromkeys(frame.clip_id for frame in frames[0]))
    drawn = np.random.default_rng(SEED).integers(len(names), size=(DRAWS, len(names)))
    totals = [score(some, 3, group_by=()) for some in frames]
    gaps = {name: [] for name in totals[0]}
    for places in drawn:
        a, b = (
            score([f for at in places for f in some if f.clip_id == names[at]], 3, group_by=())
            for some in frames
        )
        for name in gaps:
            gaps[name].append(b[name] - a[name])
    found = compare(*clips_of(tmp_path), ("dataset", "avsbench"), draws=DRAWS, seed=SEED)
    assert [f"{one.protocol}/{one.score}" for one in found] == list(totals[0])
    for one in found:
        name = f"{one.protocol}/{one.score}"
        assert one.first == pytest.approx(totals[0][name], abs=1e-12)
        assert one.second == pytest.approx(totals[1][name], abs=1e-12)
        ordered = sorted(gaps[name])
        # 25 draws: the ends are at places 0.6 and 23.4 of 0 to 24.
        low = ordered[0] + 0.6 * (ordered[1] - ordered[0])
        high = ordered[23] + 0.4 * (ordered[24] - ordered[23])
        assert (one.low, one.high) == pytest.approx((low, high), abs=1e-9), name
        assert one.low < one.difference < one.high and one.clips == 5
    best = next(one for one in found if one.score == "mIoU")
    assert best.low > 0  # 40 % of B's pixels are right for sure


def test_foreground_is_the_mean_over_the_drawn_clips(tmp_path):
    """Clips that score 1 and 0 in A, and 1 and 1 in B: the gap is the share of the second."""
    mask = np.array([[1, 0]], np.uint8)
    for clip in "ab":
        save(tmp_path / f"truth/{clip}/0.png", mask)
        save(tmp_path / f"A/{clip}/0.png", mask if clip == "a" else 1 - mask)
        save(tmp_path / f"B/{clip}/0.png", mask)
    first, second = (
        scored(tmp_path / name, tmp_path / "truth", "foreground", foreground_size=(2, 1)).clips
        for name in "AB"
    )
    found = {one.score: one for one in compare(first, second, ("foreground",), draws=1000)}
    jaccard = found["J"]
    ends = (jaccard.first, jaccard.second, jaccard.low, jaccard.high)
    assert ends == pytest.approx((50, 100, 0, 100), abs=1e-4)
    # A's F in clip b is that of threshold 0, all pixels: P 1/2, R 1: 0.65 / 1.15.
    assert found["F"].first == pytest.approx(100 * (1 + 0.65 / 1.15) / 2)


def test_the_interval_is_scipys(methods):
    """Another implementation, with draws of its own, on a score that is a mean over clips."""
    tmp_path = methods[-1]
    first, second = clips_of(tmp_path, "foreground")
    values = [[one.foreground["jaccard"] for one in clips] for clips in (first, second)]
    per_clip = np.array(values)[:, :, 0] * 2.0**-26  # the high words are exact enough
    per_clip /= np.array([[one.frames for one in clips] for clips in (first, second)])
    other = scipy.stats.bootstrap(
        (per_clip[1] - per_clip[0],), np.mean, n_resamples=20000, method="percentile"
    ).confidence_interval
    (found,) = [o for o in compare(first, second, ("foreground",), draws=20000) if o.score == "J"]
    assert (found.low, found.high) == pytest.approx((100 * other.low, 100 * other.high), abs=0.5)


def test_seeds_and_subsets(methods):
    tmp_path = methods[-1]
    first, second = clips_of(tmp_path)
    same = [compare(first, second, ("dataset",), draws=20, seed=s) for s in (1, 1, 2)]
    assert same[0] == same[1] != same[2]
    equal = compare(first, first, ("dataset",), draws=20)
    assert all(one.low == one.high == one.difference == 0 for one in equal)
    with pytest.raises(UserError, match="needs two clips at least"):
        compare(first[:1], second[:1], ("dataset",))


def test_the_tool_tells_and_writes_it(methods, monkeypatch, capsys):
    tmp_path = methods[-1]
    monkeypatch.chdir(tmp_path)
    words = "tools/score.py --compare A B truth --classes 3 --encoding index --draws 100 --out out"
    monkeypatch.setattr(sys, "argv", words.split())
    with pytest.raises(SystemExit) as ended:
        run_path(str(ROOT / "tools/score.py"), run_name="__main__")
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "A: A, B: B, in percent" in text and "95% from" in text
    report = json.loads((tmp_path / "out/comparison.json").read_text())
    assert report["interval"] == dict(
        level=0.95, method="percentile bootstrap over clips", draws=100, seed=0
    )
    table = list(csv.DictReader((tmp_path / "out/comparison.csv").open()))
    assert [float(row["low"]) for row in table] == [one["low"] for one in report["differences"]]
    assert report["differences"][0]["score"] == "mIoU" and report["B"]["predictions"] == "B"
