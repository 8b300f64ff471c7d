"""Runs over a corpus in this process, and the tables that they leave."""

from pathlib import Path

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")
import pyarrow.parquet as pq

from projects.cpm_avs import work_folder
from projects.cpm_avs.commands import corpus
from projects.cpm_avs.corpus.manifest import Video

VIDEO = Video("a.mp4", "/x/a.mp4", 10, 20)
TABLES = ("videos", "masks", "pieces")


def start(model: list[str], manifest: Path, out: Path, *words: str) -> int:
    """As the command line does, in this process."""
    work_folder._held.clear()  # a folder is this process's until it ends
    options = ["--workers", "0", "--fps", "5", "--piece", "1", *words]
    return corpus.main([str(manifest), "--out", str(out), *model, *options])


def rows(out: Path, table: str) -> list[dict]:
    return sorted(pq.read_table(out / table).to_pylist(), key=repr)
