#!/usr/bin/env bash
# All that needs a GPU, in four minutes: the `gpu` tests, predictions and training in all precisions,
# with and without recorded networks, and loading. Writes OUT_DIR/gpu_check.json and a short table.
#
#   bash tools/gpu_check.sh work_dirs/gpu_check
#   bash tools/gpu_check.sh --tiny OUT_DIR    # everything at sizes for a CPU, to see that it runs
#
# $PYTHON (default: python3) runs it; SECONDS_IN_ALL=240 is how long it may take. A step that fails or
# takes too long stands in the JSON with the end of its output, and the others go on.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tiny=
if [ "${1:-}" = --tiny ]; then tiny=1 && shift; fi
case "${1:-}" in -*) echo "usage: bash tools/gpu_check.sh [--tiny] [OUT_DIR]" >&2 && exit 2 ;; esac
out=${1:-work_dirs/gpu_check}
mkdir -p "$out" || exit
out=$(cd "$out" && pwd)
rm -f "$out"/*.json "$out"/*.log "$out"/steps.tsv
python=${PYTHON:-python3}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
begin=$SECONDS total=${SECONDS_IN_ALL:-240}

# Nothing here decodes a video, but the package imports PyAV.
if ! "$python" -c 'from av.video.reformatter import Colorspace' 2>/dev/null; then
  stand_in=$(mktemp -d)
  trap 'rm -r "$stand_in"' EXIT
  cat >"$stand_in/av.py" <<'EOF'
import sys
import unittest.mock

for name in ("av", "av.video", "av.video.reformatter"):
    sys.modules[name] = unittest.mock.MagicMock()
EOF
  export PYTHONPATH="$stand_in:$PYTHONPATH"
fi

# step NAME SECONDS COMMAND...: runs it, at most for so long, and not past the end of the time for all.
step() {
  local name=$1 limit=$2 start=$SECONDS status left=$((begin + total - SECONDS))
  shift 2
  if [ "$left" -lt "$limit" ]; then limit=$((left > 0 ? left : 1)); fi
  timeout --kill-after=5 "$limit" "$@" >"$out/$name.log" 2>&1
  status=$?
  printf '%s\t%s\t%s\t%s\n' "$name" "$status" "$((SECONDS - start))" "$*" >>"$out/steps.tsv"
  echo "[gpu check] $name: status $status after $((SECONDS - start)) s"
}

# bench NAME SECONDS ARGUMENTS...: a subcommand of the benchmark, whose rows go to NAME.json.
bench() {
  step "$1" "$2" "$python" tools/benchmark.py "${@:3}" --json "$out/$1.json"
}

config=configs/cpm_r50_avss-224.py
baseline=configs/ablation/cpm_r50_avss_baseline.py
precisions=(fp32 fp16 bf16)
small=224x224 crop=512x512 wide=720x1280 runs=10 most=512 many=16 seconds=60 half=fp16
if [ -n "$tiny" ]; then
  small=64x64 crop=64x96 wide=96x128 runs=1 most=2 many=2 seconds=300 half=bf16 total=3600
  precisions=(fp32 bf16) # a CPU works in fp16 forty times slower
fi

mapfile -t tests < <(grep -l 'pytest.mark.gpu' tests/test_*.py)
step kernels "$seconds" "$python" -m pytest -q tests/test_gpu.py -k kernel
step tests "$seconds" "$python" -m pytest -q -m gpu "${tests[@]}"
bench predict-one "$seconds" predict "$config" --vs mmseg --compile --size "$small" "$wide" \
  --precision "${precisions[@]}" --runs "$runs"
bench predict-best "$seconds" predict "$config" --compile --size "$small" --batch best \
  --precision "${precisions[@]}" --runs "$runs" --most "$most"
bench predict-best-wide "$seconds" predict "$config" --compile --size "$wide" --batch best \
  --precision "$half" --runs "$runs" --most "$most"
bench train-small "$seconds" train "$config" "$baseline" --vs mmseg --size "$small" \
  --batch 2 "$many" --precision "${precisions[@]}" --runs "$runs"
bench train-crop "$seconds" train "$config" "$baseline" --vs mmseg --size "$crop" --batch 2 \
  --precision "${precisions[@]}" --runs "$runs"
bench stages "$seconds" stages "$config" --size "$small" --batch 1 "$many" --precision "$half" --runs "$runs"
bench data "$seconds" data configs/cpm_r50_avss.py --vs mmseg --runs "$((2 * runs))"

"$python" - "$out" "$((SECONDS - begin))" <<'EOF'
import json
import sys
from pathlib import Path

out, seconds = Path(sys.argv[1]), int(sys.argv[2])
steps, rows, machine = [], [], {}
for line in (out / "steps.tsv").read_text().splitlines():
    name, status, taken, command = line.split("\t")
    step = dict(name=name, status=int(status), seconds=int(taken), command=command)
    file = out / f"{name}.json"
    if file.exists():
        found = json.loads(file.read_text())
        machine = machine or found["machine"]
        rows += [dict(row, step=name) for row in found["rows"]]
    log = (out / f"{name}.log").read_text(errors="replace").splitlines()
    if step["status"] or not file.exists():
        step["output"] = log[-20:]
    steps.append(step)
content = dict(machine=machine, seconds=seconds, steps=steps, rows=rows)
(out / "gpu_check.json").write_text(json.dumps(content, indent=1) + "\n")

print(f"\n{machine.get('device', 'no measurement')}, {seconds} s")
for step in steps:
    told = "ok" if step["status"] == 0 else f"status {step['status']}"
    last = (step.get("output") or [""])[-1]
    print(f"{step['name']:18} {step['seconds']:4} s  {told:10} {last[:110]}")
for row in rows:
    if "stage" in row:
        continue
    if row["what"] == "data":
        print(f"{row['step']:18} {row['model'][:40]:40} {row['ms']:.2f} ms  {row['cpu_ratio']:.2f}")
        continue
    where = f"{row['step']:18} {row['model'][:40]:40} {row['size']:9} x{row['batch']:<4} {row['precision']}"
    if "error" in row:
        print(where, row["error"][:90])
    else:
        print(where, f"{row['ms']:9.2f} ms {row['frames_per_s']:9.1f}/s  {row.get('ratio', 0):.2f}"
              + (f"  {row['peak_mb']:.0f} MB" if "peak_mb" in row else ""))
EOF
! cut -f2 "$out/steps.tsv" | grep -qv '^0$'
