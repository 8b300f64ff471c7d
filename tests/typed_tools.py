"""The tools as a user types them."""

import importlib
import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


def tool(name: str) -> ModuleType:
    """The command of tools/NAME.py."""
    return importlib.import_module(f"projects.cpm_avs.commands.{name}")


def run_tool(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """A command line: the tool's path and its arguments."""
    monkeypatch.setattr(sys, "argv", [*words])
    try:
        runpy.run_path(str(ROOT / words[0]), run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
