"""The wheel: built from what git has, installed in a folder of its own, used from another one."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from clips import make_clip
from new_process import python

import projects.cpm_avs

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


def pip(*words: object, cwd: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-m", "pip", *map(str, words)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


def installed(*command: object, cwd: Path, site: Path) -> str:
    """Where ``site`` is all that has the project."""
    done = python(*command, cwd=cwd, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    for name in filter(None, map(os.fsdecode, names)):
        if (ROOT / name).is_file():
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / "source" / name)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "-w", folder]
    pip("wheel", "-q", *options, ".", cwd=folder / "source")
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path) -> Path:
    folder = wheel.parent / "site"
    options = ["--no-deps", "--no-index", "--target", folder]
    pip("install", "-q", *options, wheel, cwd=wheel.parent)
    return folder


def test_what_is_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    version = projects.cpm_avs.__version__
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"cpm_avs", "cpm_avs_cli.py", f"cpm_avs-{version}.dist-info"}  # no `projects`
    carried = {name.removeprefix("cpm_avs/.mim/") for name in names if "/.mim/" in name}
    for folder in ("configs", "tools", "data/stamps", "data/checkpoints"):
        here = {path for path in (ROOT / folder).rglob("*") if path.is_file()}
        wanted = {str(path.relative_to(ROOT)) for path in here if "__pycache__" not in path.parts}
        assert {name for name in carried if name.startswith(f"{folder}/")} == wanted
    assert "cpm_avs/py.typed" in names


def test_demo_from_another_folder(site: Path, tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", frames=2, sound=np.zeros((1, 4000), np.float32))
    words = ["demo", "clip.mp4", "--out-dir", "out"]
    installed(site / "bin" / "cpm-avs", *words, cwd=tmp_path, site=site)
    assert (tmp_path / "out" / "clip" / "report.json").is_file()


def test_configs_are_read_by_mmengine_alone(site: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from mmengine.config import Config; from mmseg.registry import MODELS\n"
        "config = Config.fromfile(sys.argv[1]); assert MODELS.get(config.model.type)\n"
        "import cpm_avs; print(cpm_avs.__file__)\n"
    )
    config = site / "cpm_avs/.mim/configs/cpm_mbv2-yamnet_stamps.py"
    said = installed("-c", code, config, cwd=tmp_path, site=site)
    assert said.strip() == str(site / "cpm_avs" / "__init__.py")


def test_the_ablation_finds_the_tools(site: Path, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from cpm_avs.ablation.runs import Tools\n"
        "with Tools(1) as tools:\n"
        "    tools.call('tools/train.py', '--help', output=Path('output.txt').absolute())\n"
    )
    installed("-c", code, cwd=tmp_path, site=site)
    assert "usage: train.py" in (tmp_path / "output.txt").read_text()
