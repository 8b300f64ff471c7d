"""Means over seeds, and what compares with the baseline of the same seed."""

import statistics
from collections import defaultdict
from collections.abc import Sequence

from .records import Curve, RunRecord


def last_quarter_gain(curve: Curve) -> float | None:
    """How much a curve still rises from three quarters of its iterations to its end.

    None of a curve that has no point before, as of a run that was validated once.
    """
    end, value = curve[-1]
    before = [v for iteration, v in curve if iteration <= 0.75 * end]
    return value - before[-1] if before else None


def iterations_to(curve: Curve, level: float) -> float:
    """Iteration of the first point that is as high as ``level``; infinity if there is none."""
    return next((iteration for iteration, value in curve if value >= level), float("inf"))


def against(record: RunRecord, baseline: RunRecord) -> dict[str, float]:
    """How a run compares with the baseline of its own seed, which saw the same scenes.

    Returns:
        dict: ``mIoU_over_baseline`` in points, and ``mIoU_ss_over_baseline`` and
        ``mIoU_crowd_over_baseline`` where both were tested on these scenes;
        ``sts_below_baseline``, the percentage of epochs after the first in which
        the matching is steadier, where both match; and ``iterations_to_baseline``, the iterations
        to the baseline's last mIoU on val, left out where the run never gets there.
    """
    others = dict(baseline.curves["STS"])
    below = [value < others[step] for step, value in record.curves["STS"][1:] if step in others]
    measures = {
        f"{name}_over_baseline": record.scores[name] - baseline.scores[name]
        for name in ("mIoU", "mIoU_ss", "mIoU_crowd")
        if name in record.scores and name in baseline.scores
    }
    if below:
        measures["sts_below_baseline"] = 100 * statistics.fmean(below)
    reached = iterations_to(record.curves["mIoU"], baseline.curves["mIoU"][-1][1])
    if reached < float("inf"):
        measures["iterations_to_baseline"] = reached
    return measures


def summarise(
    records: Sequence[RunRecord], baseline: str = "baseline"
) -> dict[str, dict[str, dict[str, float]]]:
    """Row -> measure -> mean, standard deviation (0 for one seed) and number of seeds.

    What compares with the baseline counts the seeds that both have.
    """
    baselines = {record.seed: record for record in records if record.row == baseline}
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        measures = dict(record.scores)
        if (gain := last_quarter_gain(record.curves["mIoU"])) is not None:
            measures["last_quarter_gain"] = gain
        if record.row != baseline and record.seed in baselines:
            measures |= against(record, baselines[record.seed])
        for name, value in measures.items():
            values[record.row][name].append(value)
    return {
        row: {name: spread(numbers) for name, numbers in measures.items()}
        for row, measures in values.items()
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation of the sample, and number."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return dict(mean=statistics.fmean(values), std=deviation, n=len(values))


def standard_error(measure: dict[str, float]) -> float:
    """Of the mean that `spread` gives."""
    return measure["std"] / measure["n"] ** 0.5
