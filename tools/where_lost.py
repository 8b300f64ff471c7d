"""Tell where a score is lost, to names or to masks; ``cpm-avs where-lost`` is the same."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "projects")]  # this checkout's code, and what lies beside it

from cpm_avs_cli import run  # noqa: E402

if __name__ == "__main__":
    sys.exit(run("where-lost"))
