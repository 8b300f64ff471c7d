"""The command ``cpm-avs`` and the package's two names."""

import argparse
import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from new_process import python

from projects import cpm_avs_cli
from projects.cpm_avs.two_names import own_name

ROOT = Path(__file__).resolve().parents[1]


def test_help_and_version_import_nothing_slow() -> None:
    code = """
import sys
sys.modules["torch"] = None  # whose import would fail
import cpm_avs_cli
for word in ("--help", "--version"):
    sys.argv = ["cpm-avs", word]
    assert cpm_avs_cli.main() == 0
"""
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "projects"))
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(f"  {name} " in done.stdout for name in cpm_avs_cli.COMMANDS)
    assert done.stdout.splitlines()[-1] == importlib.import_module("projects.cpm_avs").__version__


def test_an_unknown_command_is_told(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["cpm-avs", "trian"])
    assert cpm_avs_cli.main() == 2
    assert "no command 'trian'" in capsys.readouterr().err


@pytest.mark.parametrize("name", cpm_avs_cli.COMMANDS)
def test_each_row_has_its_file(name: str) -> None:
    stem = name.replace("-", "_")
    assert (ROOT / "projects/cpm_avs/commands" / f"{stem}.py").is_file()


def test_each_command_has_its_row() -> None:
    files = {path.stem for path in (ROOT / "projects/cpm_avs/commands").glob("[!_]*.py")}
    assert files == {name.replace("-", "_") for name in cpm_avs_cli.COMMANDS}


def test_examples_are_of_the_installed_command() -> None:
    """It has no tools/, and finds configs by name."""
    for path in (ROOT / "projects/cpm_avs/commands").glob("*.py"):
        for line in path.read_text().splitlines():
            assert "python tools/" not in line, path
            assert not (line.strip().startswith("cpm-avs ") and "configs/" in line), path


def test_each_tool_runs_the_command_of_its_name() -> None:
    first = (ROOT / "tools" / "train.py").read_text().splitlines()
    for path in (ROOT / "tools").glob("*.py"):
        lines = path.read_text().splitlines()
        command = path.stem.replace("_", "-")
        assert command in cpm_avs_cli.COMMANDS and f"``cpm-avs {command}``" in lines[0]
        assert lines[1:] == [line.replace('"train"', f'"{command}"') for line in first[1:]]


def test_the_command_sees_its_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["cpm-avs", "make-clip", "--help"])
    with pytest.raises(SystemExit) as end:
        cpm_avs_cli.main()
    assert end.value.code == 0 and capsys.readouterr().out.startswith("usage: cpm-avs make-clip ")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["cpm-avs", "app"])
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in [name for name in sys.modules if "cpm_avs.inference.page" in name]:
        monkeypatch.delitem(sys.modules, name)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit, match=r"app needs gradio.* pip install '\.\[demo\]'"):
        cpm_avs_cli.main()
    assert signal.getsignal(signal.SIGINT) is before  # else Ctrl-C would end the process at once


@pytest.mark.parametrize(
    "module, name",
    [
        ("cpm_avs", "projects.cpm_avs"),
        ("projects.cpm_avs.models.cpm", "projects.cpm_avs.models.cpm"),
        ("cpm_avs.training", "projects.cpm_avs.training"),
        ("cpm_avs_cli", "cpm_avs_cli"),
        ("projects.cpm_avs2", "projects.cpm_avs2"),
    ],
)
def test_own_name(module: str, name: str) -> None:
    assert own_name(module) == name


_TWO_NAMES = """
import importlib, sys
first, second = {names!r}
a, b = (importlib.import_module(f"{{name}}.structures") for name in (first, second))
assert a is b and a.__spec__.name == f"{{first}}.structures"
assert importlib.import_module(second) is sys.modules[first]
from cpm_avs.models import AVSegmentor
from projects.cpm_avs.models import AVSegmentor as same
assert AVSegmentor is same
importlib.import_module(f"{{second}}.training")  # registers, and nothing twice
importlib.import_module(f"{{first}}.training")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [("cpm_avs", "projects.cpm_avs"), ("projects.cpm_avs", "cpm_avs")]
)
def test_both_names_are_one_package(names: tuple[str, str]) -> None:
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "projects")))
    done = python("-c", _TWO_NAMES.format(names=names), cwd=Path("/"), PYTHONPATH=paths)
    assert done.returncode == 0, done.stderr


class _Read(Exception):
    """The parser is made."""


@pytest.mark.parametrize("name", cpm_avs_cli.COMMANDS)
def test_the_help_says_all(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What each option is for, and what it is where it is not given."""
    parsers = []

    def keep(self: argparse.ArgumentParser, *_: object) -> None:
        parsers.append(self)
        raise _Read

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", keep)
    command = importlib.import_module(f"projects.cpm_avs.commands.{name.replace('-', '_')}")
    with pytest.raises(_Read):
        command.main()
    for parser in parsers:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
                continue
            assert action.help, action.dest
            if argparse.SUPPRESS in (action.help, action.default):
                continue
            if action.option_strings and action.default not in (None, False, [], {}):
                assert "default" in action.help, action.dest
