"""The score that picks the best checkpoint must be one that the evaluators give."""

from pathlib import Path
from typing import Any

import pytest
import toy  # noqa: F401  (registers the toy model)
from metric_frames import object_frame, random_frames
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.runner import Runner
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS

from projects.cpm_avs.errors import UserError
from projects.cpm_avs.training.hooks.best_score import check_best_score, check_rule

CONFIG = Path(__file__).parent / "configs" / "toy_iter.py"


class Untold(BaseMetric):
    """A user's metric, which does not say what it gives."""

    def process(self, data_batch: Any, data_samples: Any) -> None: ...

    def compute_metrics(self, results: list) -> dict:
        return {}


def metrics(*settings: dict[str, Any]) -> list[BaseMetric]:
    return [METRICS.build(dict(setting)) for setting in settings]


AVS, IOU, COVERAGE = dict(type="AVSMetric"), dict(type="IoUMetric"), dict(type="CoverageMetric")


@pytest.mark.parametrize(
    ("save_best", "settings", "remedy"),
    [
        ("dataset/mIoU", [IOU], "save_best=mIoU,"),
        ("dataset/mIoU", [IOU | dict(prefix="x")], "save_best=x/mIoU,"),
        ("mIoU", [AVS], "save_best=dataset/mIoU,"),
        ("dataset/mIoU", [COVERAGE], "save_best=coverage,"),
        ("dataset/mIoU", [AVS | dict(protocols=["avsbench"]), COVERAGE], "save_best=avsbench/"),
        ("dataset/mIou", [AVS, COVERAGE], "save_best=dataset/mIoU,"),
        (["dataset/mIoU", "mDice"], [AVS, IOU], "save_best=mAcc,"),
    ],
)
def test_a_score_that_nothing_gives_is_refused(save_best, settings, remedy) -> None:
    with pytest.raises(UserError, match="which no val_evaluator gives") as caught:
        check_best_score(save_best, metrics(*settings))
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("save_best", "settings"),
    [
        ("dataset/mIoU", [AVS, COVERAGE]),
        ("ms/dataset/mIoU", [AVS]),  # of a subset
        ("mIoU", [IOU]),
        ("mRecall", [IOU | dict(iou_metrics=["mFscore"])]),
        ("avsbench/F_batch4", [AVS | dict(legacy_batch=4)]),
        ("auto", [IOU]),
        (None, [IOU]),
        ("dataset/mIoU", []),
    ],
)
def test_a_score_that_is_given_is_taken(save_best, settings) -> None:
    check_best_score(save_best, metrics(*settings))


def test_a_score_of_mmsegs_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UserError, match="no iou_metrics=.'mIou'.; there are mIoU, mDice, mFscore"):
        check_best_score("mIoU", metrics(IOU | dict(iou_metrics=["mIou"])))


def test_nothing_is_refused_beside_a_metric_that_does_not_tell() -> None:
    check_best_score("mine", [*metrics(AVS), Untold()])


@pytest.mark.parametrize("legacy_batch", [None, 2])
def test_the_names_are_those_of_the_scores(legacy_batch: int | None) -> None:
    two = legacy_batch is not None
    settings = dict(type="AVSMetric", group_by=(), legacy_batch=legacy_batch)
    [metric] = metrics(settings)
    evaluator = Evaluator([metric, IoUMetric(iou_metrics=["mIoU", "mDice", "mFscore"])])
    frame = object_frame([[0.9, 0.4]], [[1, 0]], clip_id="a", frame_index=0)
    frames = [frame, frame] if two else random_frames(4, 3)
    evaluator.dataset_meta = dict(classes=("ground", "object") if two else ("a", "b", "c"))
    evaluator.process(frames)
    given = set(evaluator.evaluate(len(frames)))
    assert set(metric.score_names) == {name for name in given if "/" in name}
    for name in given:
        check_best_score(name, evaluator.metrics)


def test_a_run_ends_before_it_begins(tmp_path: Path) -> None:
    cfg = Config.fromfile(CONFIG)
    cfg.work_dir = str(tmp_path)
    cfg.val_evaluator = IOU
    runner = Runner.from_cfg(cfg)
    with pytest.raises(UserError, match="save_best is 'score'"):
        runner.train()
    assert runner.iter == 0


def test_a_metric_of_a_user_that_gives_another_score_is_told(tmp_path: Path) -> None:
    """What it gives is known after the first validation, whose checkpoint is there then."""
    cfg = Config.fromfile(CONFIG)
    cfg.work_dir, cfg.experiment_name = str(tmp_path), "untold"
    cfg.train_cfg.val_interval = cfg.default_hooks.checkpoint.interval = 2
    cfg.val_evaluator = [dict(type="ToyMetric", prefix="mine")]
    with pytest.raises(
        UserError, match="save_best is 'score', .* there are mine/score. Give --cfg"
    ):
        Runner.from_cfg(cfg).train()
    assert (tmp_path / "iter_2.pth").is_file()


@pytest.mark.parametrize("waits", ["hook", "schedule"])
def test_a_monitor_that_nothing_gives_ends_the_run_before_it_begins(tmp_path, waits) -> None:
    cfg = Config.fromfile(CONFIG)
    cfg.work_dir, cfg.experiment_name = str(tmp_path), f"monitor-{waits}"
    cfg.val_evaluator = COVERAGE
    cfg.default_hooks.checkpoint.save_best = "coverage"
    if waits == "hook":
        cfg.custom_hooks = [dict(type="EarlyStoppingHook", monitor="coverages", rule="greater")]
    else:
        cfg.param_scheduler = [dict(type="ReduceOnPlateauLR", by_epoch=True)]
    runner = Runner.from_cfg(cfg)
    with pytest.raises(UserError, match="^monitor of .* is '(coverages|loss)', .*Give 'coverage'"):
        runner.train()


@pytest.mark.parametrize(
    ("score", "rule", "settings", "better"),
    [
        ("dataset/FDR", "greater", [AVS], "less"),
        ("ms/dataset/FDR", "greater", [AVS], "less"),
        ("dataset/mIoU", "less", [COVERAGE, AVS], "greater"),
        ("mIoU", "less", [IOU], "greater"),
    ],
)
def test_the_worst_is_not_taken_for_the_best(score, rule, settings, better) -> None:
    with pytest.raises(UserError, match=f"^RULE is '{rule}', .* Set RULE={better}"):
        check_rule(score, rule, metrics(*settings), "RULE")
    check_rule(score, better, metrics(*settings), "RULE")
    check_rule(score, rule, [Untold()], "RULE")


@pytest.mark.parametrize("goes_by", ["checkpoint", "schedule"])
def test_a_run_that_would_keep_its_worst_ends_before_it_begins(tmp_path, goes_by) -> None:
    cfg = Config.fromfile(CONFIG)
    cfg.work_dir, cfg.experiment_name = str(tmp_path), f"worst-{goes_by}"
    cfg.val_evaluator = AVS
    cfg.default_hooks.checkpoint.save_best = "dataset/mIoU"
    if goes_by == "checkpoint":
        cfg.default_hooks.checkpoint.update(save_best="dataset/FDR", rule="greater")
    else:  # whose own rule is 'less'
        cfg.param_scheduler = [dict(type="ReduceOnPlateauLR", monitor="dataset/mIoU")]
    runner = Runner.from_cfg(cfg)
    with pytest.raises(UserError, match="is better the (smaller|larger) it is. Set .*rule"):
        runner.train()
    assert runner.iter == 0
