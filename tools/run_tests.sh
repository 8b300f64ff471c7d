#!/usr/bin/env bash
# Set up, then lint, types and tests. Arguments go to pytest.
#
#   bash tools/run_tests.sh
#   bash tools/run_tests.sh tests/test_mmcv_ops.py -x
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash tools/setup_env.sh
export PATH="$PWD/.venv/bin:$PATH"
export OMP_NUM_THREADS=1 # tiny models: threads cost more than they bring

ruff check .
ruff format --check .
mypy
python -m pytest "$@"
