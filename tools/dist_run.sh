#!/usr/bin/env bash
# What dist_train.sh and dist_test.sh share: a Python tool in several processes that meet by torchrun.
#
#   bash tools/dist_run.sh GPUS TOOL [options of the tool]
set -euo pipefail

gpus=$1 nodes=${NNODES:-1} address=${MASTER_ADDR:-127.0.0.1} port=${PORT:-}
shift
die() { printf 'error: %s\n' "$*" >&2; exit 2; }

case "$gpus" in
  "" | 0* | *[!0-9]*) die "'$gpus' is no number of GPUs; give 1 or more, after the config and the checkpoint" ;;
esac
if [ -z "$port" ]; then
  port=29500 # all nodes must know it
  if [ "$nodes" = 1 ]; then
    port=$(python -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
  fi
fi
if [ "${NODE_RANK:-0}" = 0 ] && (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
  die "port $port is taken, by another job perhaps; name another, on every node: PORT=$((port + 1))"
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec python -m torch.distributed.run \
  --nnodes="$nodes" \
  --node_rank="${NODE_RANK:-0}" \
  --master_addr="$address" \
  --master_port="$port" \
  --nproc_per_node="$gpus" \
  "$@"
