"""Which learning rate suits a row: it is trained with each and validated at the end."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mmengine.config import Config

from ..constants import REPOSITORY as ROOT
from ..files import write_whole
from ..visualization.run_log import read_run
from .records import named
from .rows import Study
from .runs import Tools, folder_of


@dataclass
class TriedRates:
    """What rows come to with each rate.

    Attributes:
        seed: Of all trainings; none of the table's, so that its runs had no part in the choice.
        mIoU: Row -> rate, as it was given -> mIoU on validation scenes, in percent.
    """

    seed: int
    mIoU: dict[str, dict[str, float]] = field(default_factory=dict)


def rate_settings(cfg: Config, rate: str) -> list[str]:
    """Config options for another rate; an optimiser beside the first one keeps its share of it."""
    wrapper = cfg.optim_wrapper
    settings = [f"optim_wrapper.optimizer.lr={rate}"]
    if beside := wrapper.get("paramwise_cfg", {}).get("sound_optimizer"):
        other = float(rate) * beside.lr / wrapper.optimizer.lr
        settings.append(f"optim_wrapper.paramwise_cfg.sound_optimizer.lr={other:g}")
    return settings


def try_rate(study: Study, row: str, rate: str, seed: int, work_dir: Path, tools: Tools) -> float:
    """Train a row with a rate, if that is not done yet; mIoU of the validation at the end."""
    folder = folder_of(study, row, seed, work_dir) / rate
    config = f"configs/{study.configs[row]}.py"
    cfg = Config.fromfile(ROOT / config)
    end = cfg.train_cfg.max_iters
    if (score := _validated(folder, end)) is not None:
        return score
    folder.mkdir(parents=True, exist_ok=True)
    settings = [f"randomness.seed={seed}", f"train_cfg.val_interval={end}"]
    settings += rate_settings(cfg, rate)
    arguments = [config, "--work-dir", folder, "--resume", "--cfg-options", *settings]
    tools.call("tools/train.py", *arguments, output=folder / "output.txt")
    score = _validated(folder, end)
    assert score is not None, f"{folder} has no validation after {end} iterations"
    return score


def _validated(folder: Path, iteration: int) -> float | None:
    try:
        curve = read_run(folder, folder.name).curves.get("dataset/mIoU", [])
    except FileNotFoundError:
        return None
    return dict(curve).get(iteration)


def read_rates(out: Path) -> TriedRates | None:
    """What was tried for a report, if anything."""
    path = named(out, "_rates.json")
    if not path.is_file():
        return None
    try:
        return TriedRates(**json.loads(path.read_text()))
    except (json.JSONDecodeError, TypeError) as error:
        raise SystemExit(
            f"error: {path} is none of tools/tune_rates.py ({error}); give another --out"
        ) from error


def write_rates(tried: TriedRates, out: Path) -> None:
    """For the report of that name."""
    write_whole(named(out, "_rates.json"), json.dumps(asdict(tried), indent=1) + "\n")


def rates_markdown(tried: TriedRates | None) -> str:
    """A section with all rates, the best of each row in bold; no text if none were tried."""
    if tried is None:
        return ""
    rates = sorted({rate for scores in tried.mIoU.values() for rate in scores}, key=float)
    lines = [
        "\n## Rates\n",
        "mIoU on validation scenes after a training with each learning rate, by",
        f"`tools/tune_rates.py` with seed {tried.seed}.\n",
        f"| row | {' | '.join(rates)} |",
        f"|{'---|' * (len(rates) + 1)}",
    ]
    for row, scores in tried.mIoU.items():
        best = max(scores.values())
        cells = [_cell(scores.get(rate), best) for rate in rates]
        lines.append(f"| `{row}` | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _cell(score: float | None, best: float) -> str:
    if score is None:
        return "-"
    return f"**{score:.1f}**" if score == best else f"{score:.1f}"
