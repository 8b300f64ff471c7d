"""What was measured, as a table on the screen and as JSON."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from ..files import write_whole

Row = Mapping[str, Any]


def machine(device: str) -> dict[str, Any]:
    """What the numbers were measured on."""
    return dict(
        device=torch.cuda.get_device_name(device) if device.startswith("cuda") else _processor(),
        threads=torch.get_num_threads(),
        cores=os.cpu_count(),
        python=platform.python_version(),
        torch=torch.__version__,
    )


def show(rows: Sequence[Row], title: str = "") -> None:
    """A table with a column for each key; long enough names are not cut."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(title=title or None)
    for column in columns:
        numbers = all(isinstance(row.get(column, 0), (int, float)) for row in rows)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    console = Console()
    # A pipe or a file has no width of its own; wrapped rows are hard to read and to search.
    Console(width=None if console.is_terminal else 200).print(table)


def write(path: str | Path, *, command: str, device: str, rows: Sequence[Row]) -> None:
    """A JSON file: the machine, the command and its rows."""
    content = dict(machine=machine(device), command=command, rows=list(rows))
    write_whole(path, json.dumps(content, indent=1) + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
