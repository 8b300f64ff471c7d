#!/usr/bin/env bash
# Set up, then lint, types and tests. Arguments go to pytest.
#
#   bash tools/run_tests.sh
#   bash tools/run_tests.sh tests/test_mmcv_ops.py -x
#   FAMILY=openmmlab bash tools/run_tests.sh tests/test_openmmlab.py    # upstream's packages; no lint
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash tools/setup_env.sh tests
export OMP_NUM_THREADS=1 # tiny models: threads cost more than they bring

types=
if [ "${FAMILY:-onedl}" = onedl ]; then
  export PATH="$PWD/.venv/bin:$PATH"
  ruff check .
  ruff format --check .
  mypy & # a minute, in which the tests wait now and then
  types=$!
  trap 'kill "$types" 2>/dev/null || true' EXIT
else
  export PATH="$PWD/.venv-$FAMILY/bin:$PATH"
fi
# A file's tests stay together: its fixtures are made once. Their order is tests/conftest.py's.
python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder "$@"
if [ -n "$types" ] && ! wait "$types"; then
  echo "error: mypy found what it says above" >&2
  exit 1
fi
