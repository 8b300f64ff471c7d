"""The ablation's figure: the rows' curves, and their lead by the number of sounding objects."""

import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..visualization.colors import LINE_COLORS, LINE_STYLES
from .records import RunRecord
from .summary import standard_error, summarise

CURVES = {
    "mIoU": "mIoU on val, dataset protocol (%)",
    "STS": "STS, matching stability (lower is steadier)",
    "coverage": "coverage after TD-A, val",
}
#: What the scenes are called, and what a row has over the baseline on them.
DIFFICULTIES = {
    "1 of 3": "mIoU_ss_over_baseline",
    "as trained": "mIoU_over_baseline",
    "4 of 8": "mIoU_crowd_over_baseline",
}


def curves_figure(records: Sequence[RunRecord], solid: Sequence[str]) -> Figure:
    """Mean over the seeds for each row, with a band from the lowest to the highest seed.

    The last panel has the rows that were tested on easier and harder scenes, too, with the standard
    error of what they have over the baseline; without such rows there is none.

    Args:
        records: All runs.
        solid: Rows that are drawn with solid lines; the others are dashed.
    """
    rows = list(dict.fromkeys(record.row for record in records))
    styles = {
        row: dict(
            color=LINE_COLORS[number % len(LINE_COLORS)],
            linestyle=LINE_STYLES[0 if row in solid else 1],
            linewidth=1.8 if row in solid else 1.2,
        )
        for number, row in enumerate(rows)
    }
    table = summarise(records)
    compared = [row for row in rows if table[row].keys() >= set(DIFFICULTIES.values())]
    panels = len(CURVES) + bool(compared)
    figure = Figure(figsize=(5 * panels, 5.5), layout="constrained")
    axes = figure.subplots(1, panels)
    for axis, (key, title) in zip(axes, CURVES.items(), strict=False):
        for row in rows:
            runs = [dict(record.curves[key]) for record in records if record.row == row]
            draw_curve(axis, runs, label=f"{row} ({len(runs)})", **styles[row])
        axis.set(title=title, xlabel="iteration")
        axis.grid(alpha=0.3)
    if compared:
        for row in compared:
            draw_lead(axes[-1], table[row], **styles[row])
        axes[-1].axhline(0, color="0.4", linewidth=0.8)
        axes[-1].set(title="test mIoU over the baseline's", xlabel="objects that sound")
        axes[-1].grid(alpha=0.3)
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(rows),
        fontsize="small",
        title="row (seeds)",
    )
    return figure


def draw_curve(axis: Axes, runs: Sequence[dict[int, float]], **style: Any) -> None:
    """Mean of runs that map iterations to values, with a band from lowest to highest."""
    # A run that goes on has more points than one that is done with another budget.
    steps = sorted(set.intersection(*(set(run) for run in runs)))
    seeds = [[run[step] for run in runs] for step in steps]
    axis.plot(steps, [statistics.fmean(values) for values in seeds], **style)
    if len(runs) > 1:
        lowest, highest = [min(values) for values in seeds], [max(values) for values in seeds]
        axis.fill_between(steps, lowest, highest, color=style["color"], alpha=0.12, linewidth=0)


def draw_lead(axis: Axes, measures: dict[str, dict[str, float]], **style: Any) -> None:
    """What a row has over the baseline on each kind of scenes, with its standard error."""
    leads = [measures[name] for name in DIFFICULTIES.values()]
    axis.errorbar(
        list(DIFFICULTIES),
        [lead["mean"] for lead in leads],
        [standard_error(lead) for lead in leads],
        capsize=4,
        marker="o",
        **style,
    )
