"""Train and test the rows of Tables 4 and 5 on AVS-Stamps, several seeds each, and tabulate them.

    python tools/ablation.py --seeds 0 1 2 --out docs/ablation

A run that is finished is not run again, and one that was interrupted goes on where it stopped, so
the command can be repeated until all is there. Every row has the same iterations, batches, order
of scenes and schedule: only what its config names differs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from projects.cpm_avs.visualization.run_log import read_run

ROOT = Path(__file__).resolve().parents[1]
BASE = "cpm_mbv2-yamnet_stamps"
ROWS = {
    "baseline": f"ablation/{BASE}_baseline",
    "ccdm": f"ablation/{BASE}_ccdm",
    "ccdm_vcp": f"ablation/{BASE}_ccdm-vcp",
    "ccdm_acp": f"ablation/{BASE}_ccdm-acp",
    "ccdm_acp_vcp": f"ablation/{BASE}_ccdm-acp-vcp",
    "cpm": BASE,
    "point": f"ablation/{BASE}_point",
    "m1": f"ablation/{BASE}_m1",
    "m3": BASE,
    "m5": f"ablation/{BASE}_m5",
    "m7": f"ablation/{BASE}_m7",
}
#: Name in the table, and key in the log of the test.
MEASURES = {
    "mIoU": "dataset/mIoU",
    "F_beta": "dataset/F",
    "J&F": "avsbench/J&F",
    "coverage": "coverage",
}


def run(row: str, seed: int, work_dir: Path, options: Sequence[str]) -> dict[str, Any]:
    """Train and test one run, unless its result is there."""
    config = f"configs/{ROWS[row]}.py"
    folder = work_dir / ROWS[row].split("/")[-1] / f"seed{seed}"
    result_file = folder / "result.json"
    if result_file.is_file():
        return json.loads(result_file.read_text())
    settings = [f"randomness.seed={seed}", *options]
    call("tools/train.py", config, "--work-dir", folder, "--resume", "--cfg-options", *settings)
    checkpoint = (folder / "last_checkpoint").read_text().strip()
    test_dir = folder / "test"
    call("tools/test.py", config, checkpoint, "--work-dir", test_dir, "--cfg-options", *options)
    result = dict(row=row, seed=seed, **tested(test_dir), **trained(folder))
    result_file.write_text(json.dumps(result, indent=2))
    return result


def call(tool: str, *arguments: object) -> None:
    """Run one of the tools in the repository's root, with its output on the screen."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, tool, *map(str, arguments)]
    print(" ".join(command), flush=True)
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, check=True)


def tested(test_dir: Path) -> dict[str, float]:
    """Scores of the newest test."""
    logs = [path for path in test_dir.glob("*/*.json") if path.stem == path.parent.name]
    scores = json.loads(max(logs).read_text())
    return {name: scores[key] for name, key in MEASURES.items()}


def trained(folder: Path) -> dict[str, Any]:
    """Matching stability and seconds an iteration, from the log of the training."""
    curves = read_run(folder, folder.name).curves
    return dict(
        STS=curves["STS"][-1][1],
        seconds=statistics.median(value for _, value in curves["time"]),
    )


def summarise(results: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Row -> measure -> mean, standard deviation (0 for one seed) and number of seeds."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for row in ROWS:
        runs = [result for result in results if result["row"] == row]
        if runs:
            table[row] = {
                name: spread([result[name] for result in runs])
                for name in (*MEASURES, "STS", "seconds")
            }
    return table


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation and number."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return dict(mean=statistics.fmean(values), std=deviation, n=len(values))


def markdown(table: dict[str, dict[str, dict[str, float]]]) -> str:
    """The table for people."""
    names = (*MEASURES, "STS", "seconds")
    lines = [
        f"| row | seeds | {' | '.join(names)} |",
        f"|{'---|' * (len(names) + 2)}",
    ]
    for row, scores in table.items():
        cells = [f"{scores[name]['mean']:.3g} ± {scores[name]['std']:.2g}" for name in names]
        lines.append(f"| `{row}` | {scores['mIoU']['n']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/ablation"))
    parser.add_argument("--out", type=Path, required=True, help="for .json and .md")
    parser.add_argument("--cfg-options", nargs="+", default=[], help="for every row alike")
    args = parser.parse_args(arguments)
    results = []
    for seed in args.seeds:  # all rows of a seed first: a partial table compares like with like
        for row in args.rows:
            results.append(run(row, seed, args.work_dir, args.cfg_options) | dict(row=row))
            table = summarise(results)
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.with_suffix(".json").write_text(json.dumps(table, indent=2) + "\n")
            args.out.with_suffix(".md").write_text(markdown(table))
    print(markdown(table))


if __name__ == "__main__":
    main()
