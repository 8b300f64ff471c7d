#!/usr/bin/env bash
# Test with one process per GPU, on one node or several; on a machine without CUDA over gloo.
#
#   bash tools/dist_test.sh configs/cpm_r50_avss.py work_dirs/cpm_r50_avss/epoch_100.pth 8
#   PORT=29501 bash tools/dist_test.sh ...    # instead of a port that is free
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 PORT=29500 bash tools/dist_test.sh ...  # on each node
set -euo pipefail

usage="bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of tools/test.py]"
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ $# -ge 2 ]; then bash "$tools/check_checkpoint.sh" "$2" "$usage"; fi
if [ $# -lt 3 ]; then
  echo "usage: $usage" >&2
  exit 2
fi
config=$1 checkpoint=$2 gpus=$3
shift 3

exec bash "$tools/dist_run.sh" "$gpus" "$tools/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
