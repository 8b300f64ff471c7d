"""The ablation's page and its tables."""

import json
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from ..files import whole_file, write_whole
from .costs import costs_markdown
from .figure import curves_figure
from .rates import rates_markdown, read_rates
from .records import RunRecord, named, write_runs
from .rows import TABLE_4, Addition, Study
from .summary import spread, standard_error, summarise

#: Sections of the page: columns with name, measure, format of mean and deviation.
SECTIONS = {
    "Scores": (
        ("mIoU", "mIoU", ".1f"),
        ("mIoU over the baseline", "mIoU_over_baseline", ".1f"),
        ("F_beta", "F_beta", ".1f"),
        ("J&F", "J&F", ".1f"),
        ("J", "J", ".1f"),
        ("F", "F", ".1f"),
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
        ("without hearing", "deaf_ratio_error", ".3f"),
        ("0.5 everywhere", "half_ratio_error", ".3f"),
        ("error by loudness", "loud_ratio_error", ".3f"),
        ("without hearing", "deaf_loud_ratio_error", ".3f"),
        ("0.5 everywhere", "half_loud_ratio_error", ".3f"),
        ("SI-SDR improvement, dB", "si_sdr_improvement", ".2f"),
        ("without hearing", "deaf_si_sdr_improvement", ".2f"),
    ),
}
INTRODUCTION = (
    "Written by `tools/ablation.py`: mean ± standard deviation over the seeds, on the test scenes; "
    "mIoU and F_beta by the `dataset` protocol, J&F by `avsbench`, in percent. What compares with "
    "the baseline takes the one of the same seed, which saw the same scenes in the same order. The "
    "gain in the last quarter and the iterations that a row needs to reach the baseline's last "
    "mIoU are of the validation scenes, the latter only of runs that reach it. STS is that of the "
    "last epoch, which has 50 iterations; the comparison leaves out the first. {about} The "
    "trainings have {iterations:,} iterations."
)
PAGE = """# {title}

{introduction}

{notes}![curves]({curves})

{added}{tables}{costs}{rates}"""


def write_report(records: Sequence[RunRecord], out: Path, study: Study) -> None:
    """Tables, curves and the runs themselves."""
    lengths = {int(record.curves["mIoU"][-1][0]) for record in records}
    if len(lengths) > 1:
        raise SystemExit(
            f"error: the runs have {' and '.join(map(str, sorted(lengths)))} iterations and belong "
            f"in no one table; {named(out, '_runs.json')} or the work folder is of another schedule"
        )
    (iterations,) = lengths
    table = summarise(records)
    write_runs(records, out)
    write_whole(named(out, ".json"), json.dumps(table, indent=2) + "\n")
    page = PAGE.format(
        title=study.title,
        introduction=fill(INTRODUCTION.format(about=study.about, iterations=iterations), 100),
        notes=notes_markdown(study.notes),
        curves=f"{out.name}.png",
        added=additions_markdown(records, study.additions),
        tables=markdown(table),
        costs=costs_markdown(study, out),
        rates=rates_markdown(read_rates(out)),
    )
    write_whole(named(out, ".md"), page)
    drawn = [record for record in records if record.row != "m3"]  # the curves of cpm
    with whole_file(named(out, ".png")) as part:
        curves_figure(drawn, solid=tuple(TABLE_4)).savefig(part, dpi=110)


def notes_markdown(notes: Sequence[str]) -> str:
    """What there is to know about a study, one point an entry; no text without any."""
    points = [fill(f"- {note}", 100, subsequent_indent="  ") for note in notes]
    return "\n".join([*points, "", ""]) if points else ""


def markdown(table: dict[str, dict[str, dict[str, float]]]) -> str:
    """The page's tables: mean, and deviation where there are several seeds.

    What no row has measured is left out, such as measures that are younger than the runs.
    """
    measured = {measure for scores in table.values() for measure in scores}
    lines = []
    for section, all_columns in SECTIONS.items():
        columns = [column for column in all_columns if column[1] in measured]
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
            f"{standard_error(gain):.1f}" if gain["n"] > 1 else "-",
            ", ".join(f"{value:+.1f}" for value in gains),
            "-" if added.paper is None else f"{added.paper:+.2f}",
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
