#!/usr/bin/env bash
# Make .venv and install the project with what it needs; nothing when that was done already.
#
#   bash tools/setup_env.sh              # PYTHON=python3.12 picks another interpreter
#   bash tools/setup_env.sh tests        # and what the tests need
#   FAMILY=openmmlab bash tools/setup_env.sh    # upstream's OpenMMLab packages, in .venv-openmmlab
#
# A machine with a GPU and nvcc gets mmcv's operators compiled; any other takes the pure PyTorch
# ones. TORCH_INDEX_URL takes torch from another index, such as PyTorch's own of CPU wheels.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '[set-up] %s\n' "$*"; }
die() { printf '[set-up] %s\n' "$*" >&2; exit 1; }

# What corpora need is tested with one family: it touches nothing of either.
case "${FAMILY:-onedl}" in
  onedl) venv=.venv lists=(requirements.txt) tests=(requirements-{tests,corpus}.txt) ;;
  openmmlab) venv=.venv-openmmlab lists=(requirements-openmmlab.txt) tests=(requirements-tests.txt) ;;
  *) die "FAMILY=$FAMILY: there are onedl and openmmlab" ;;
esac
case "${1:-}" in
  "") ;;
  tests) lists+=("${tests[@]}") ;;
  *) die "usage: bash tools/setup_env.sh [tests]" ;;
esac
venv_python="$PWD/$venv/bin/python"
stamp_file=$venv/.installed${1:+-$1}

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3.10 python3; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' \
      2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
    [ "$candidate" != "${PYTHON:-}" ] || break
  done
  die "no Python 3.10 to 3.13 with its venv module found${PYTHON:+ at PYTHON=$PYTHON}." \
    "Install one (on Debian: python3 and python3-venv) or name it: PYTHON=/path/to/python3"
}

has_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; }
# Upstream's mmcv is not compiled: its last release is older than the torch that is used here.
can_compile_cuda() { [ "$venv" = .venv ] && has_gpu && command -v nvcc >/dev/null; }

# What the installation depends on: when none of it changed there is nothing to do.
fingerprint() {
  { can_compile_cuda && echo cuda || echo cpu
    echo "$PWD"
    cat requirements*.txt constraints.txt pyproject.toml setup.py tools/setup_env.sh
  } | cksum
}

pip_install() { "$venv_python" -m pip install -qq -c constraints.txt "$@"; }

# What pip is told by its files and variables about the setting $1; empty where nothing is.
pip_setting() {
  sed -n "/^[a-z:]*\\.$1='/{s/^[^']*'\\(.*\\)'$/\\1/;s/\\\\n/ /g;p;q;}" <<<"$pip_settings"
}

# uv does pip's work in a tenth of the time. It reads none of pip's settings, so it is told those
# that say where packages are.
find_uv() {
  local index links cert
  pip_settings=$("$venv_python" -m pip config list)
  uv=$(command -v uv) || { pip_install uv && uv=$PWD/$venv/bin/uv; } || return 0
  index=$(pip_setting index-url) links=$(pip_setting find-links) cert=$(pip_setting cert)
  if [ -n "$index" ]; then export UV_DEFAULT_INDEX="$index"; fi
  if [ -n "$links" ]; then export UV_FIND_LINKS="${links// /,}"; fi
  if [ -n "$cert" ]; then export SSL_CERT_FILE="$cert"; fi
}

# Of OpenCV's builds only the one without a display: see use_headless_opencv.
uv_install() {
  "$uv" pip install -q --python "$venv_python" -c constraints.txt \
    --override <(echo "opencv-python; sys_platform == 'none'") "$@"
}

# pip knows more ways to an index than uv.
install() {
  if [ -n "$uv" ]; then
    if uv_install "$@"; then return; fi
    say "uv can't; pip tries"
  fi
  pip_install "$@"
}

# True where the package index would send CUDA libraries along with torch. Reads metadata only.
torch_pulls_cuda() {
  [ -n "$uv" ] && "$uv" pip install --python "$venv_python" -c constraints.txt --dry-run torch 2>&1 |
    grep -Eq '^ \+ (nvidia-|cuda-toolkit|triton)'
}

install_torch() {
  if [ -n "${TORCH_INDEX_URL:-}" ]; then
    install --index-url "$TORCH_INDEX_URL" torch
    return
  fi
  # Builds for the CPU stand in an index of their own. uv takes all files of a release from one
  # index, of which others may lack some: so only torch is looked for there.
  local extra
  extra=$(pip_setting extra-index-url)
  if [ -n "$extra" ]; then export UV_INDEX="$extra" UV_INDEX_STRATEGY=unsafe-best-match; fi
  if ! has_gpu && torch_pulls_cuda; then
    say "no GPU here, but the package index offers a CUDA build of several GB. To take the CPU build"
    say "instead, stop this and set TORCH_INDEX_URL to PyTorch's index of CPU wheels (it is named"
    say "at pytorch.org under Get Started, with Compute Platform CPU)"
  fi
  install torch
  unset UV_INDEX UV_INDEX_STRATEGY
}

compile_mmcv_ops() {
  if "$venv_python" -c 'import torch, mmcv._ext' 2>/dev/null; then
    return
  fi
  say "a GPU and nvcc are here: compiling mmcv's operators (13 minutes and more on two cores)"
  # No cache: pip would take the wheel that it built without operators at another time.
  pip_install setuptools wheel ninja packaging
  PATH="$PWD/$venv/bin:$PATH" "$venv_python" -m pip install -c constraints.txt --no-cache-dir \
    --no-build-isolation --no-binary onedl-mmcv --force-reinstall --no-deps onedl-mmcv
}

# mmcv and mmdet ask for the OpenCV that needs a display's libraries (libGL), which a bare machine
# lacks. Both builds own the same folder, so the one without a display goes in last and alone.
use_headless_opencv() {
  if "$venv_python" -c "import importlib.metadata as m; m.version('opencv-python')" 2>/dev/null; then
    "$venv_python" -m pip uninstall --quiet --yes opencv-python opencv-python-headless
    install --no-deps opencv-python-headless
  fi
}

fingerprint=$(fingerprint)
if [ -x "$venv_python" ] && [ "$(cat "$stamp_file" 2>/dev/null)" = "$fingerprint" ]; then
  exit 0
fi

if ! "$venv_python" -m pip --version >/dev/null 2>&1; then
  python=$(find_python)
  say "making $venv with $("$python" --version)"
  "$python" -m venv --clear "$venv"
fi
say "installing; this takes a minute, with CUDA's libraries some more"
rm -f "$venv"/.installed*
find_uv
say "torch"
install_torch
if can_compile_cuda; then compile_mmcv_ops; fi
say "the OpenMMLab packages and the rest"
install pip "${lists[@]/#/-r}"
use_headless_opencv
# No dependencies: pyproject.toml asks for one family, and the lists have named them.
install --no-deps -e .
"$venv_python" -c "import cpm_avs" >/dev/null
printf '%s\n' "$fingerprint" >"$venv/.installed" # what the tests need is more than this
printf '%s\n' "$fingerprint" >"$stamp_file"
say "done; activate it with: . $venv/bin/activate"
