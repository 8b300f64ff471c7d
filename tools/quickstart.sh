#!/usr/bin/env bash
# Set up, train a small model on the built-in data, evaluate it, segment a clip, and segment one with
# the model of photographs and recordings that comes with the repository.
#
#   bash tools/quickstart.sh [WORK_FOLDER]     # default work_dirs/quickstart
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage="usage: bash tools/quickstart.sh [WORK_FOLDER]     # default work_dirs/quickstart"
case "${1:-}" in
  -h | --help) echo "$usage" && exit 0 ;;
  -*) echo "$usage" >&2 && exit 2 ;;
esac

config=configs/cpm_mbv2-yamnet_stamps-ss.py
work_dir=${1:-work_dirs/quickstart}
checkpoint=$work_dir/quickstart.pth
iterations=250 # 4 to 6 minutes on two cores; the config's 600 give a better model

say() { printf '\n[quickstart] %s\n' "$*"; }

bash tools/setup_env.sh
# The small model gains little by threads, and threads that spin while they wait for one another
# lose much on a busy machine.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((($(nproc) + 1) / 2))}"
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
export PATH="$PWD/.venv/bin:$PATH" PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"

for name in mobilenetv2:mobilenetv2_imagenet yamnet:yamnet_audioset; do
  if [ ! -f "weights/${name#*:}.pth" ]; then
    say "fetching the pretrained ${name%:*}"
    python tools/prepare_weights.py "${name%:*}"
  fi
done

say "training $config; an iteration's line tells the time that is left (eta)"
python tools/train.py "$config" --work-dir "$work_dir" --cfg-options \
  train_cfg.max_iters=$iterations train_cfg.val_interval=$iterations
cp "$work_dir/$(cat "$work_dir/last_checkpoint")" "$checkpoint"

say "evaluating on the test scenes"
python tools/test.py "$config" "$checkpoint" --work-dir "$work_dir/test"

newest() { ls -t "$@" | head -n 1; }
metrics=$(newest "$work_dir"/test/*/metrics.json)
say "scores on the test scenes, in percent:"
python - "$metrics" <<'EOF'
import json
import sys

for row in json.load(open(sys.argv[1]))["results"]:
    scores = "  ".join(f"{name} {value:.2f}" for name, value in row["scores"].items())
    print(f"{row['protocol']:>9} {row['subset']:>6}  {scores}")
EOF

say "segmenting a clip of the test split, and drawing test scenes"
python tools/make_clip.py "$work_dir/clip.mp4" --subset ss
python tools/demo.py "$work_dir/clip.mp4" --config "$config" --checkpoint "$checkpoint" \
  --out "$work_dir/overlay.mp4"
python tools/plot_scenes.py "$config" "$checkpoint" --out "$work_dir/scenes.png" --num 6

say "the model that was trained on photographs and recordings: a clip of animals that it knows"
python tools/make_clip.py "$work_dir/animals.mp4" --subset ss \
  --classes cow dog elephant horse rooster sheep
python tools/demo.py "$work_dir/animals.mp4" --strip --out "$work_dir/animals_overlay.mp4"

say "written:"
printf '  %s\n' "$work_dir/overlay.mp4" "$work_dir/scenes.png" "$checkpoint" "$metrics" \
  "$(newest "$work_dir"/*/*.log)" "$work_dir/animals_overlay.mp4"
