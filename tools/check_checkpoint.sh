#!/usr/bin/env bash
# What dist_test.sh and slurm_test.sh share: a checkpoint that was forgotten is told before the job.
#
#   bash tools/check_checkpoint.sh CHECKPOINT USAGE
set -euo pipefail

checkpoint=$1 usage=$2
die() { printf 'error: %s\nusage: %s\n' "$1" "$usage" >&2; exit 2; }

[ ! -f "$checkpoint" ] || exit 0
case "$checkpoint" in
  "" | -* | *.py) die "the checkpoint is missing before '$checkpoint'" ;;
  *[!0-9]*) ;;
  *) die "the checkpoint is missing: '$checkpoint' is no file" ;;
esac
case "$checkpoint" in
  *://*) ;; # MMEngine fetches it
  *) die "no such checkpoint: '$checkpoint'" ;;
esac
