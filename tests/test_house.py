"""Rules of the house that a machine can check: layout, file sizes, who imports whom."""

import ast
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from new_process import python

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "projects.cpm_avs"
MAX_LINES = 300

VOCABULARY = {"constants", "errors", "structures"}
# What each room may import of the project, beside itself and the vocabulary. `inference/` may not
# import training; `training/` may use models' pure functions but no concrete head.
ROOMS = {
    "media": set(),
    "datasets": {"files", "work_folder", "media"},
    "models": {"mmcv_ops"},
    "training": {
        "files",
        "work_folder",
        "model_wrapper",
        "models.cpm.gaussian_functional",
        "models.cpm.place_functional",
        "models.precision",
        "models.spectrogram",
    },
    "evaluation": {"files"},
    "visualization": set(),
    "inference": {
        "files",
        "config_files",
        "model_fit",
        "safe_checkpoint",
        "safetensors_format",
        "media",
        "datasets",
        "models",
        "visualization",
    },
    "ablation": {"files", "visualization"},
    "launch": {
        "files",
        "work_folder",
        "config_files",
        "model_fit",
        "model_wrapper",
        "safe_checkpoint",
    },
    "benchmarking": {
        "files",
        "model_fit",
        "launch",
        "media",
        "datasets",
        "evaluation",
        "inference",
    },
    "pretrained": {"files", "config_files", "safe_checkpoint", "models", "media"},
    "scoring": {"files", "datasets", "evaluation"},
    "corpus": {"files", "work_folder", "media", "inference", "visualization"},
}
# They compose, and nothing imports them.
ROOMS["commands"] = {*ROOMS, "files", "model_fit", "safe_checkpoint", "safetensors_format"}

# Within a room: which of its folders may import which, beside the files at the room's own top.
FOLDERS = {
    "datasets": {
        "benchmarks": set(),
        "composed": set(),
        "composing": {"composed"},
        "prepare": {"benchmarks", "composed", "composing"},
    },
    "models": {
        "audio_backbones": set(),
        "image_backbones": set(),
        "cpm": set(),
        "baselines": {"cpm", "audio_backbones"},
    },
    "training": {
        "set_prediction": set(),
        "ccdm": set(),
        "prompting": {"set_prediction"},
        "baselines": {"ccdm", "set_prediction"},
        "diagnostics": {"prompting", "set_prediction"},
        "hooks": {"diagnostics"},
    },
}


def tracked(*patterns: str) -> list[Path]:
    """Files under version control, and new ones that would be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / os.fsdecode(name) for name in names.split(b"\0") if name]
    return [path for path in paths if path.is_file()]


def imported(path: Path) -> set[str]:
    """Modules of the project that a file imports, without the package's name."""
    here = path.relative_to(ROOT).with_suffix("").parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = [*here[: len(here) - node.level]] if node.level else []
            base += node.module.split(".") if node.module else []
            found |= {".".join([*base, alias.name]) for alias in node.names}
    prefix = f"{PACKAGE}."
    return {name.removeprefix(prefix) for name in found if name.startswith(prefix)}


def violations(path: Path, room: str) -> set[str]:
    allowed = ROOMS[room] | VOCABULARY | {room}
    return {
        name
        for name in imported(path)
        if not any(name == other or name.startswith(f"{other}.") for other in allowed)
    }


def test_python_files_hold_one_idea() -> None:
    sizes = {path: len(path.read_text().splitlines()) for path in tracked("projects/*.py")}
    assert sizes
    assert {str(path): size for path, size in sizes.items() if size > MAX_LINES} == {}


def test_top_level_is_the_houses() -> None:
    wanted = {"projects", "configs", "tools", "data", "tests", ".ci"}
    wanted |= {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"}
    lists = {
        f"requirements{part}.txt" for part in ("", "-common", "-onedl", "-openmmlab", "-tests")
    }
    lists |= {f"requirements-{extra}.txt" for extra in ("demo", "export", "corpus")}
    wanted |= lists | {"constraints.txt", "pyproject.toml", "setup.py", "MANIFEST.in"}
    wanted |= {".pre-commit-config.yaml", ".gitignore", ".gitattributes", ".github"}
    wanted |= {"CITATION.cff", "model-index.yml", "Dockerfile", ".dockerignore"}
    found = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert found - wanted - {"docs"} == set()
    assert wanted - found == set()


def test_scripts_can_be_run_as_they_are() -> None:
    """In git, from which a clone has its modes: what names its interpreter, and nothing else."""
    command = ["git", "ls-files", "-s", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    lines = [line.split(b"\t", 1) for line in listed.split(b"\0") if line]
    modes = {os.fsdecode(name): entry[:6] for entry, name in lines}
    scripts = {name for name in modes if (ROOT / name).read_bytes()[:2] == b"#!"}
    assert {name for name in modes if name.endswith(".sh")} < scripts
    assert {name for name, mode in modes.items() if mode == b"100755"} == scripts


def test_the_projects_of_another_checkout_stay_visible(tmp_path: Path) -> None:
    """MMSegmentation, MMDetection and others have a `projects`, too, and none is a package."""
    (tmp_path / "projects" / "theirs").mkdir(parents=True)
    (tmp_path / "projects" / "theirs" / "__init__.py").touch()
    code = (
        "from importlib.util import find_spec\n"
        f"assert find_spec('projects.theirs') and find_spec('{PACKAGE}')\n"
    )
    for first, second in [(ROOT, tmp_path), (tmp_path, ROOT)]:
        environment = dict(os.environ, PYTHONPATH=f"{first}{os.pathsep}{second}")
        subprocess.run([sys.executable, "-S", "-c", code], env=environment, cwd="/", check=True)


def test_no_file_names_a_folder_of_this_machine() -> None:
    own = {ROOT, ROOT.parent, Path.home()} - {Path("/"), Path(tempfile.gettempdir())}
    needles = [f"{folder}/".encode() for folder in own]
    named = [
        str(path)
        for path in tracked()
        if path.suffix not in {".png", ".ogg", ".flac", ".wav", ".pth", ".npz"}
        and any(needle in path.read_bytes() for needle in needles)
    ]
    assert named == []


def test_what_tests_share_lies_beside_them() -> None:
    """A test file that imports another runs its registrations, and what it leaves changed."""
    importing = re.compile(r"^\s*(?:from|import) test_", re.MULTILINE)
    sharing = [p.name for p in tracked("tests/test_*.py") if importing.search(p.read_text())]
    assert sharing == []


def test_every_room_has_its_rule() -> None:
    package = ROOT / PACKAGE.replace(".", "/")
    assert {path.parent.name for path in package.glob("*/__init__.py")} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_the_agreed_way(room: str) -> None:
    wrong = {
        str(path.relative_to(ROOT)): sorted(violations(path, room))
        for path in tracked(f"projects/cpm_avs/{room}/*.py")
        if violations(path, room)
    }
    assert wrong == {}


@pytest.mark.parametrize("room", FOLDERS)
def test_folders_of_a_room_import_the_agreed_way(room: str) -> None:
    top = ROOT / PACKAGE.replace(".", "/") / room
    assert {path.parent.name for path in top.glob("*/__init__.py")} == set(FOLDERS[room])
    wrong = {
        (folder, name)
        for folder, allowed in FOLDERS[room].items()
        for path in tracked(f"projects/cpm_avs/{room}/{folder}/*.py")
        for name in imported(path)
        for other in FOLDERS[room].keys() - allowed - {folder}
        if f"{name}.".startswith(f"{room}.{other}.")
    }
    assert wrong == set()


def test_the_vocabulary_imports_nothing_else_of_the_project() -> None:
    found = {name: imported(ROOT / f"projects/cpm_avs/{name}.py") for name in VOCABULARY}
    expected = dict.fromkeys(VOCABULARY, set()) | {"errors": {"constants.REPOSITORY"}}
    assert found == expected


def test_the_rule_sees_all_kinds_of_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checker itself: absolute, relative and aliased imports, also inside functions."""
    path = tmp_path / "projects" / "cpm_avs" / "models" / "head.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import torch\n"
        "import projects.cpm_avs.training.ccdm.em as em\n"
        "from ..structures import A\n"
        "from .. import datasets\n"
        "from .merge import b\n"
        "def f():\n    from ..evaluation.mask import c\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert violations(path, "models") == {"training.ccdm.em", "datasets", "evaluation.mask.c"}


def test_inference_never_imports_training() -> None:
    code = (
        "import sys\n"
        f"sys.modules['{PACKAGE}.training'] = None\n"  # any import of it raises
        f"import {PACKAGE}.inference\n"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr[-2000:]
