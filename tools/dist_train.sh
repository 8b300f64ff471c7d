#!/usr/bin/env bash
# Train with one process per GPU, on one node or several; on a machine without CUDA over gloo.
#
#   bash tools/dist_train.sh configs/cpm_r50_avss.py 8
#   PORT=29501 bash tools/dist_train.sh ...    # instead of a port that is free
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 PORT=29500 bash tools/dist_train.sh ...  # on each node
set -euo pipefail

if [ $# -lt 2 ]; then
  echo "usage: bash tools/dist_train.sh CONFIG GPUS [options of tools/train.py]" >&2
  exit 2
fi
config=$1 gpus=$2
shift 2

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec bash "$tools/dist_run.sh" "$gpus" "$tools/train.py" "$config" --launcher pytorch "$@"
