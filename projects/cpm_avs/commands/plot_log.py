"""Draw loss, mIoU, STS and coverage of one or more runs into one figure (Fig. 3b and 4).

Usage: cpm-avs plot-log work_dirs/cpm work_dirs/baseline --out curves.png
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from ..files import whole_file
from ..launch import FIGURES, output_file
from ..visualization.colors import LINE_COLORS, LINE_STYLES
from ..visualization.run_log import Run, read_run

# Title of each panel, and the keys that may hold its curve, best first; those of subsets are left
# out. A curve under another key than the first is named after it: protocols are not comparable.
PANELS = {
    "training loss": ("loss",),
    "mIoU, dataset protocol (%)": ("dataset/mIoU", "avsbench/J", "mIoU"),
    "STS, matching stability (lower is steadier)": ("STS",),
    "coverage after TD-A": ("coverage",),
}


def draw(runs: Sequence[Run], out: Path) -> None:
    """Write the figure: a panel per measure, a colour per run."""
    figure, axes = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
    for axis, (title, keys) in zip(axes.flat, PANELS.items(), strict=True):
        for index, run in enumerate(runs):
            key = next((key for key in keys if run.curves.get(key)), None)
            if key is None:
                continue
            points = run.curves[key]
            axis.plot(
                *zip(*points, strict=True),
                label=run.name if key == keys[0] else f"{run.name} ({key})",
                color=LINE_COLORS[index % len(LINE_COLORS)],
                linestyle=LINE_STYLES[index // len(LINE_COLORS) % len(LINE_STYLES)],
                marker="o" if len(points) < 30 else None,
                markersize=3.5,
            )
        axis.set_title(title)
        axis.set_xlabel("iteration")
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(fontsize="small")
        else:
            axis.text(0.5, 0.5, "not logged", ha="center", va="center", transform=axis.transAxes)
    with whole_file(out) as part:
        figure.savefig(part, dpi=130)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "run_dirs", nargs="+", type=Path, metavar="RUN_DIR", help="work_dir of a run"
    )
    parser.add_argument(
        "--out", required=True, type=output_file(*FIGURES), help="the figure, .png or .pdf"
    )
    args = parser.parse_args(arguments)
    folders = [folder.resolve() for folder in args.run_dirs]
    names = [folder.name for folder in folders]
    if len(set(names)) < len(names):
        names = [f"{folder.parent.name}/{folder.name}" for folder in folders]
    try:
        runs = [read_run(folder, name) for folder, name in zip(args.run_dirs, names, strict=True)]
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    draw(runs, args.out)
    print(f"Wrote {args.out}")
