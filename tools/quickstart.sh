#!/usr/bin/env bash
# From a clone to a segmented video: set up, train a small model on the built-in data, evaluate it.
#
#   bash tools/quickstart.sh [work folder]     # default work_dirs/quickstart
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

config=configs/cpm_mbv2-yamnet_stamps-ss.py
work_dir=${1:-work_dirs/quickstart}
checkpoint=$work_dir/quickstart.pth

say() { printf '\n[quickstart] %s\n' "$*"; }

bash tools/setup_env.sh
export PATH="$PWD/.venv/bin:$PATH" PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"

for name in mobilenetv2:mobilenetv2_imagenet yamnet:yamnet_audioset; do
  if [ ! -f "weights/${name#*:}.pth" ]; then
    say "fetching the pretrained ${name%:*}"
    python tools/prepare_weights.py "${name%:*}"
  fi
done

say "training $config; an iteration's line tells the time that is left (eta)"
python tools/train.py "$config" --work-dir "$work_dir"
cp "$(cat "$work_dir/last_checkpoint")" "$checkpoint"

say "evaluating on the test scenes"
python tools/test.py "$config" "$checkpoint" --work-dir "$work_dir/test"

say "done; written:"
find "$work_dir" -name '*.log' -newer .venv/.installed -print | sort
printf '%s\n' "$checkpoint"
