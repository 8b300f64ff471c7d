"""Whether what a run goes by, as for its best checkpoint, is a score that the evaluators give."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from mmengine.evaluator import BaseMetric
from mmengine.hooks import EarlyStoppingHook
from mmengine.runner import Runner
from mmseg.evaluation import IoUMetric

from ...errors import UserError

_IOU_METRIC = {
    "mIoU": ("aAcc", "mIoU", "mAcc"),
    "mDice": ("aAcc", "mDice", "mAcc"),
    "mFscore": ("aAcc", "mFscore", "mPrecision", "mRecall"),
}


_SAVE_BEST = "default_hooks.checkpoint.save_best"
_BETTER_BELOW = ("FDR",)  # of the scores that are known by name


def check_best_score(
    save_best: str | Sequence[str] | None,
    metrics: Sequence[BaseMetric],
    where: str = _SAVE_BEST,
) -> None:
    """Refuse a score that no evaluator gives: mmengine would, in the first validation, or never.

    Args:
        save_best: As in ``CheckpointHook``; "auto" is the first one.
        metrics: Of the validation. Where one does not tell its scores, nothing is refused.
        where: What goes by the score, for the message.
    """
    told = [_score_names(metric) for metric in metrics]
    if told and None not in told:
        refuse_missing_score(save_best, [name for names in told for name in names or ()], where)


def refuse_missing_score(
    save_best: str | Sequence[str] | None, names: Sequence[str], where: str = _SAVE_BEST
) -> None:
    """Refuse a score that is none of these; see ``check_best_score``."""
    wanted = [save_best] if isinstance(save_best, str) else list(save_best or ())
    for score in wanted if names else ():
        if score != "auto" and not any(_is_of(score, name) for name in names):
            near = [*get_close_matches(score, names, n=1, cutoff=0.0), *names][0]
            remedy = f"Give {near!r}"
            if where == _SAVE_BEST:
                remedy = f"Give --cfg-options {where}={near}, or None to keep no best checkpoint"
            raise UserError(
                f"{where} is {score!r}, which no val_evaluator gives; there are "
                f"{', '.join(names)}. {remedy}."
            )


def check_rule(score: str, rule: str, metrics: Sequence[BaseMetric], where: str) -> None:
    """Refuse to take the worst for the best.

    Args:
        score: What is gone by; nothing is refused of one that none of the metrics tells of.
        rule: 'greater' or 'less', which is better.
        metrics: Of the validation.
        where: What has the rule, for the message.
    """
    names = [name for metric in metrics for name in _score_names(metric) or ()]
    better = "less" if score.split("/")[-1] in _BETTER_BELOW else "greater"
    if rule != better and any(_is_of(score, name) for name in names):
        order = "smaller" if better == "less" else "larger"
        raise UserError(
            f"{where} is {rule!r}, and {score} is better the {order} it is. Set {where}={better}."
        )


def check_monitors(runner: Runner) -> None:
    """Refuse a hook or a schedule that waits for a score which no evaluator of validation gives.

    Or that waits for it to get worse. Of a hook mmengine warns at each validation, and never stops;
    of a schedule it raises then.
    """
    waiting: list = [hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook)]
    waiting += [one for one in _schedulers(runner.param_schedulers) if hasattr(one, "monitor")]
    for one in waiting:
        name, metrics = type(one).__name__, runner.val_loop.evaluator.metrics
        check_best_score(one.monitor, metrics, f"monitor of {name}")
        check_rule(one.monitor, one.rule, metrics, f"rule of {name}")


def _schedulers(part: object) -> Iterator[object]:
    """Of one optimiser, or of each by its name."""
    if isinstance(part, dict):
        for one in part.values():
            yield from _schedulers(one)
    elif isinstance(part, list):
        yield from part


def _is_of(score: str, name: str) -> bool:
    """Whether it is the score of this name, or a subset's, whose own name the data alone know."""
    return score == name or ("/" in name and score.endswith(f"/{name}"))


def _score_names(metric: BaseMetric) -> list[str] | None:
    names = getattr(metric, "score_names", None)
    if names is None and type(metric) is IoUMetric:
        unknown = [kind for kind in metric.metrics if kind not in _IOU_METRIC]
        if unknown:  # which mmseg says after the first validation
            raise UserError(
                f"IoUMetric has no iou_metrics={unknown}; there are {', '.join(_IOU_METRIC)}"
            )
        names = dict.fromkeys(name for kind in metric.metrics for name in _IOU_METRIC[kind])
    prefix = f"{metric.prefix}/" if metric.prefix else ""
    return None if names is None else [f"{prefix}{name}" for name in names]
