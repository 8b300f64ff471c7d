"""An ablation's table and curves, from what each of its runs came to."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from .colors import LINE_COLORS, LINE_STYLES

#: Points (iteration, value) in order.
Curve = list[tuple[int, float]]

#: Sections of the page: columns with name, measure, format of mean and deviation.
SECTIONS = {
    "Scores": (
        ("mIoU", "mIoU", ".1f"),
        ("mIoU over the baseline", "mIoU_over_baseline", ".1f"),
        ("F_beta", "F_beta", ".1f"),
        ("J&F", "J&F", ".1f"),
        ("coverage", "coverage", ".3f"),
        ("STS", "STS", ".3f"),
        ("% of epochs with STS below the baseline's", "sts_below_baseline", ".0f"),
        ("gain in the last quarter", "last_quarter_gain", ".1f"),
        ("iterations to the baseline's end", "iterations_to_baseline", ".0f"),
    ),
    "Fewer and more sounding objects": (
        ("mIoU, 1 of 3 sounds (`ss`)", "mIoU_ss", ".1f"),
        ("over the baseline", "mIoU_ss_over_baseline", ".1f"),
        ("mIoU, 4 of 8 sound", "mIoU_crowd", ".1f"),
        ("over the baseline", "mIoU_crowd_over_baseline", ".1f"),
    ),
    "Another sound": (
        ("mIoU, silence", "mIoU_silence", ".1f"),
        ("noise", "mIoU_noise", ".1f"),
        ("off-screen sound", "mIoU_offscreen", ".1f"),
        ("frames with a false object, silence", "false_frames_silence", ".1f"),
        ("noise", "false_frames_noise", ".1f"),
        ("off-screen sound", "false_frames_offscreen", ".1f"),
    ),
    "Separation by audio prompting": (
        ("error of the ratio", "ratio_error", ".3f"),
        ("SI-SDR improvement, dB", "si_sdr_improvement", ".2f"),
    ),
}
PANELS = {
    "mIoU": "mIoU on val, dataset protocol (%)",
    "STS": "STS, matching stability (lower is steadier)",
    "coverage": "coverage after TD-A, val",
}


@dataclass
class RunRecord:
    """One training and its tests.

    Attributes:
        row: Row of the table.
        seed: Of the training.
        scores: Measure -> value at the end.
        curves: ``'mIoU'``, ``'coverage'`` on validation scenes, ``'STS'`` in training.
    """

    row: str
    seed: int
    scores: dict[str, float]
    curves: dict[str, Curve] = field(default_factory=dict)


@dataclass(frozen=True)
class Addition:
    """What a row has that another lacks.

    Attributes:
        part: Its name.
        before: Row without it.
        after: Row with it.
        paper: mIoU that it brings in the paper.
    """

    part: str
    before: str
    after: str
    paper: float


def last_quarter_gain(curve: Curve) -> float:
    """How much a curve still rises from three quarters of its iterations to its end."""
    end, value = curve[-1]
    before = [v for iteration, v in curve if iteration <= 0.75 * end]
    if not before:
        raise ValueError(f"no point in the first three quarters of {end} iterations")
    return value - before[-1]


def iterations_to(curve: Curve, level: float) -> float:
    """Iteration of the first point that is as high as ``level``; infinity if there is none."""
    return next((iteration for iteration, value in curve if value >= level), float("inf"))


def against(record: RunRecord, baseline: RunRecord) -> dict[str, float]:
    """How a run compares with the baseline of its own seed, which saw the same scenes.

    Returns:
        dict: ``mIoU_over_baseline`` in points, and ``mIoU_ss_over_baseline`` and
        ``mIoU_crowd_over_baseline`` where both were tested on these scenes;
        ``sts_below_baseline``, the percentage of epochs after the first in which
        the matching is steadier; and ``iterations_to_baseline``, the iterations to the baseline's
        last mIoU on val, left out where the run never gets there.
    """
    others = dict(baseline.curves["STS"])
    below = [value < others[step] for step, value in record.curves["STS"][1:] if step in others]
    measures = {
        f"{name}_over_baseline": record.scores[name] - baseline.scores[name]
        for name in ("mIoU", "mIoU_ss", "mIoU_crowd")
        if name in record.scores and name in baseline.scores
    }
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
        measures = record.scores | dict(last_quarter_gain=last_quarter_gain(record.curves["mIoU"]))
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


def markdown(table: dict[str, dict[str, dict[str, float]]]) -> str:
    """The page's tables: mean, and deviation where there are several seeds."""
    lines = []
    for section, columns in SECTIONS.items():
        measures = [measure for _, measure, _ in columns]
        rows = [row for row, scores in table.items() if not scores.keys().isdisjoint(measures)]
        if not rows:
            continue
        lines += [
            f"## {section}\n",
            f"| row | seeds | {' | '.join(title for title, *_ in columns)} |",
            f"|{'---|' * (len(columns) + 2)}",
        ]
        for row in rows:
            cells = [cell(table[row].get(measure), form) for _, measure, form in columns]
            lines.append(f"| `{row}` | {table[row]['mIoU']['n']} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def additions_markdown(records: Sequence[RunRecord], additions: Sequence[Addition]) -> str:
    """A table of what each part adds to the mIoU, over the seeds that both of its rows have.

    The standard error is that of the mean of the differences by seed. A part whose rows have no
    seed in common is left out; without any there is no text.
    """
    scores = {(record.row, record.seed): record.scores["mIoU"] for record in records}
    lines = []
    for added in additions:
        seeds = sorted(s for row, s in scores if row == added.after and (added.before, s) in scores)
        if not seeds:
            continue
        gains = [scores[added.after, seed] - scores[added.before, seed] for seed in seeds]
        gain = spread(gains)
        cells = [
            f"{added.part} (`{added.before}` to `{added.after}`)",
            f"{gain['mean']:+.1f}",
            f"{gain['std'] / gain['n'] ** 0.5:.1f}" if gain["n"] > 1 else "-",
            ", ".join(f"{value:+.1f}" for value in gains),
            f"{added.paper:+.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if not lines:
        return ""
    titles = "| part | mIoU | standard error | by seed | paper, on AVSS |"
    return "\n".join(["## What each part adds\n", titles, f"|{'---|' * 5}", *lines, "", ""])


def cell(score: dict[str, float] | None, form: str) -> str:
    """A mean and its deviation; a dash where nothing was measured."""
    if score is None:
        return "-"
    mean = format(score["mean"], form)
    return mean if score["n"] < 2 else f"{mean} ± {format(score['std'], form)}"


def curves_figure(records: Sequence[RunRecord], solid: Sequence[str]) -> Figure:
    """Mean over the seeds for each row, with a band from the lowest to the highest seed.

    Args:
        records: All runs.
        solid: Rows that are drawn with solid lines; the others are dashed.
    """
    figure = Figure(figsize=(15, 5.5), layout="constrained")
    rows = list(dict.fromkeys(record.row for record in records))
    for axis, (key, title) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for number, row in enumerate(rows):
            runs = [dict(r.curves[key]) for r in records if r.row == row]
            # A run that goes on has more points than one that is done with another budget.
            steps = sorted(set.intersection(*(set(run) for run in runs)))
            seeds = [[run[step] for run in runs] for step in steps]
            color = LINE_COLORS[number % len(LINE_COLORS)]
            axis.plot(
                steps,
                [statistics.fmean(values) for values in seeds],
                label=f"{row} ({len(runs)})",
                color=color,
                linestyle=LINE_STYLES[0 if row in solid else 1],
                linewidth=1.8 if row in solid else 1.2,
            )
            if len(runs) > 1:
                lowest, highest = [min(v) for v in seeds], [max(v) for v in seeds]
                axis.fill_between(steps, lowest, highest, color=color, alpha=0.12, linewidth=0)
        axis.set(title=title, xlabel="iteration")
        axis.grid(alpha=0.3)
    figure.legend(
        *axis.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(rows),
        fontsize="small",
        title="row (seeds)",
    )
    return figure
