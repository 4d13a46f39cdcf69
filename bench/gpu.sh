#!/usr/bin/env bash
# Everything that needs a GPU, in one go and in under nine minutes:
#   bash bench/gpu.sh [OUT]
# builds the CUDA library, holds every op on it against the float64 reference on odd shapes with
# poisoned memory, compares curves and runs with the CPU's, times kernels and training steps beside
# PyTorch, and looks for wrong accesses and races on small shapes. Logs and tables go to OUT
# (gpu-results by default). Needs nvcc, cmake, ninja, numpy, nanobind, pytest and hypothesis, and
# torch for the comparison; no network. What is missing, or has no time left, prints SKIPPED.
#   DRY=1 bash bench/gpu.sh [OUT]
# goes through the same steps on the emulation, with tiny shapes, on a machine without a GPU.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-gpu-results}
dry=${DRY:-}
mkdir -p "$out"
out=$(cd "$out" && pwd)
total=530 # seconds
[[ -n $dry ]] && total=3000
failed=0
say() { echo "$*" | tee -a "$out/summary.txt"; }
step() { # step NAME SECONDS COMMAND...
  local name=$1 limit=$2 started=$SECONDS
  shift 2
  if ((limit > total - SECONDS)); then limit=$((total - SECONDS)); fi
  [[ -n $dry ]] && limit=$((limit * 3))
  if ((limit < 10)); then
    say "$(printf '%-12s SKIPPED: no time left' "$name")"
    return
  fi
  timeout "$limit" "$@" >"$out/$name.log" 2>&1
  local code=$?
  say "$(printf '%-12s %4d s  exit %d  %s' "$name" $((SECONDS - started)) "$code" \
    "$(grep -v '^$' "$out/$name.log" | tail -1 | cut -c1-100)")"
  if [[ $code -ne 0 ]]; then failed=1; fi
}
: >"$out/summary.txt"
nvidia-smi >"$out/nvidia-smi.txt" 2>&1 || say "SKIPPED nvidia-smi: not found"

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
options=(-DRANVIER_CUDA=ON -DRANVIER_CUDA_ARCHITECTURES=native)
small=()
if [[ -n $dry ]]; then
  options=(-DRANVIER_EMULATION=ON)
  small=(--small)
  export RANVIER_EMULATE=1
fi
step configure 60 cmake -S . -B "$build" -G Ninja -DRANVIER_INPLACE=ON "${options[@]}" \
  -DPython_EXECUTABLE="$(command -v python3)"
step build 240 cmake --build "$build"
export PYTHONPATH="$PWD/python"
step info 30 python3 -m ranvier.cli info
# Kernels that no GPU has run may hang or lose the device: their tests run apart, and later.
step device 60 python3 -m pytest -q -p no:cacheprovider -m kernels tests/cuda \
  --deselect tests/cuda/test_hopper.py -k "not Hopper and not tf32x3"
step curves 60 python3 bench/gpu.py --out "$out" --part curves "${small[@]}"
step kernels 110 python3 bench/gpu.py --out "$out" --part kernels "${small[@]}"
step steps 100 python3 bench/gpu.py --out "$out" --part steps "${small[@]}"

# Every case on the device, each gradient too, four processes at a time; Winograd's are of the CPU
# alone. Memory is poisoned, and each case runs twice for the same bits.
export RANVIER_TEST_DEVICES=cuda
every() {
  printf '%s\n' tests/ops/test_*.py | grep -v winograd |
    RANVIER_POISON=1 xargs -P 4 -n 16 \
      python3 -m pytest -q -p no:cacheprovider -m kernels -k cuda --maxfail=50
}
export -f every
if [[ -z $dry ]]; then
  step tests 240 bash -c 'set -o pipefail; every'
else
  step tests 240 python3 -m pytest -q -p no:cacheprovider -m kernels -k cuda tests/ops/test_where.py
fi

step unproven 60 python3 -m pytest -q -p no:cacheprovider -m kernels \
  tests/cuda/test_hopper.py tests/cuda/test_tensor_cores.py -k "hopper or Hopper or tf32x3"

if command -v compute-sanitizer >/dev/null && [[ -z $dry ]]; then
  for tool in memcheck racecheck synccheck; do
    RANVIER_POISON=1 RANVIER_GRAPH=0 step "$tool" 60 compute-sanitizer --tool "$tool" \
      --error-exitcode 9 python3 -m pytest -q -p no:cacheprovider tests/cuda/test_training.py -k lenet
  done
else
  say "SKIPPED compute-sanitizer: not found"
fi
cat "$out/summary.txt"
exit $failed
