"""Whether the score that picks the best checkpoint is one that the evaluators give."""

from collections.abc import Sequence
from difflib import get_close_matches

from mmengine.evaluator import BaseMetric
from mmseg.evaluation import IoUMetric

from ...errors import UserError

_IOU_METRIC = {
    "mIoU": ("aAcc", "mIoU", "mAcc"),
    "mDice": ("aAcc", "mDice", "mAcc"),
    "mFscore": ("aAcc", "mFscore", "mPrecision", "mRecall"),
}


def check_best_score(save_best: str | Sequence[str] | None, metrics: Sequence[BaseMetric]) -> None:
    """Refuse a ``save_best`` that no evaluator gives: mmengine would, in the first validation.

    Args:
        save_best: As in ``CheckpointHook``.
        metrics: Of the validation. Where one does not tell its scores, nothing is refused.
    """
    wanted = [save_best] if isinstance(save_best, str) else list(save_best or ())
    told = [_score_names(metric) for metric in metrics]
    if not told or None in told:
        return
    names = [name for names in told for name in names or ()]
    for score in wanted:
        if score != "auto" and not any(_is_of(score, name) for name in names):
            near = [*get_close_matches(score, names, n=1, cutoff=0.0), *names][0]
            raise UserError(
                f"default_hooks.checkpoint.save_best is {score!r}, which no val_evaluator gives; "
                f"there are {', '.join(names)}. Give --cfg-options "
                f"default_hooks.checkpoint.save_best={near}, or None to keep no best checkpoint."
            )


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
