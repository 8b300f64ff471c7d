"""The configs of the repository by their names."""

from copy import deepcopy
from functools import cache
from pathlib import Path

from mmengine.config import Config

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
MAIN = sorted(path.stem for path in CONFIGS.glob("*.py"))
ABLATION = sorted(path.stem for path in (CONFIGS / "ablation").glob("*.py"))
BASELINES = CONFIGS / "baselines"


@cache
def _read(name: str) -> Config:
    return Config.fromfile(CONFIGS / ("ablation" if name in ABLATION else ".") / f"{name}.py")


def load(name: str) -> Config:
    """A config, for the caller alone: what builds from one takes keys out of it."""
    return deepcopy(_read(name))
