"""tools/quickstart.sh: its usage, without running it."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "tools" / "quickstart.sh"


@pytest.mark.parametrize("option, status", [("-h", 0), ("--help", 0), ("--work-dir", 2)])
def test_an_option_is_no_work_folder(option, status):
    done = subprocess.run(["bash", SCRIPT, option], capture_output=True, text=True)
    assert done.returncode == status
    said = done.stderr if status else done.stdout
    assert said.startswith("usage: bash tools/quickstart.sh [WORK_FOLDER]")
