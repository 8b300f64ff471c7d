"""Runs of ``prepare_data.py compose``, and what they left."""

import csv
from pathlib import Path

from projects.cpm_avs.commands import prepare_data

CLASSES = ("bird", "cat", "dog")


def compose(*words: object, out: str = "set") -> int:
    return prepare_data.main(["compose", *map(str, words), "--out", out])


def index(out: str = "set") -> list[dict[str, str]]:
    with Path(out, "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def left_out(out: str = "set") -> list[dict[str, str]]:
    with Path(out, "left_out.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def listed(out: str = "set") -> set[Path]:
    """Files that the index names."""
    return {Path(out, row[key]) for row in index(out) for key in ("file", "mask") if row[key]}


def splits_of(out: str = "set") -> dict[tuple[str, str], str]:
    return {(row["file"], row["class"]): row["split"] for row in index(out)}


def of_stem(stem: str, out: str = "set") -> list[dict[str, str]]:
    """Rows of what was made of a file."""
    return [row for row in index(out) if f"-{stem}-" in row["file"]]


def times(out: str = "set") -> dict[Path, int]:
    """When each of its files was written, in nanoseconds."""
    found = [*Path(out, "photos").rglob("*.*"), *Path(out, "sounds").rglob("*.*")]
    return {path: path.stat().st_mtime_ns for path in found}
