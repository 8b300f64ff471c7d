"""The configs of the repository by their names."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from projects.cpm_avs.config_files import read_config_file

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


@cache
def _read_whole(name: str) -> Config:
    return read_config_file(name)


def read_once(name: str) -> Config:
    """As ``read_config_file`` reads one, for the caller alone: what is read stays on disk as it is.

    Of ``read_config`` this is the longest part; mmengine makes a folder for each file it reads.
    """
    return deepcopy(_read_whole(name))


def read_bases_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on mmengine reads a file of ``configs/``, which many inherit, once."""
    read, known = Config._file2dict, {}

    def file2dict(filename: str, *args: Any, **kwargs: Any) -> Any:
        path = Path(filename).resolve()
        if not path.is_relative_to(CONFIGS):  # a test's own, which it may change
            return read(filename, *args, **kwargs)
        key = (path, args, *kwargs.items())
        if key not in known:
            known[key] = read(filename, *args, **kwargs)
        return deepcopy(known[key])

    monkeypatch.setattr(Config, "_file2dict", staticmethod(file2dict))
