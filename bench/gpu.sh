#!/usr/bin/env bash
# Everything that needs a GPU, in one go and in under nine minutes:
#   bash bench/gpu.sh [OUT]
# builds the CUDA library, runs the kernel tests on it, looks for wrong memory accesses and races on
# small shapes, trains on both devices, and times kernels beside PyTorch. Logs and tables go to OUT
# (gpu-results by default). Needs nvcc, cmake, ninja, numpy, nanobind, pytest and hypothesis, and
# torch for the comparison; no network. What is missing prints SKIPPED.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-gpu-results}
mkdir -p "$out"
out=$(cd "$out" && pwd)
failed=0
step() { # step NAME SECONDS COMMAND...
  local name=$1 limit=$2 started=$SECONDS
  shift 2
  timeout "$limit" "$@" >"$out/$name.log" 2>&1
  local code=$?
  printf '%-12s %4d s  exit %d  %s\n' "$name" $((SECONDS - started)) "$code" \
    "$(tail -1 "$out/$name.log" | cut -c1-100)" | tee -a "$out/summary.txt"
  if [[ $code -ne 0 ]]; then failed=1; fi
}
: >"$out/summary.txt"
nvidia-smi >"$out/nvidia-smi.txt" 2>&1 || echo "SKIPPED nvidia-smi: not found" >>"$out/summary.txt"

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
step configure 60 cmake -S . -B "$build" -G Ninja -DRANVIER_CUDA=ON -DRANVIER_INPLACE=ON \
  -DRANVIER_CUDA_ARCHITECTURES=native -DPython_EXECUTABLE="$(command -v python3)"
step build 240 cmake --build "$build"
export PYTHONPATH="$PWD/python"
step info 30 python3 -m ranvier.cli info

# Every case on the device, each gradient too; the tests of the cpu have run elsewhere.
export RANVIER_TEST_DEVICES=cuda
step tests 180 python3 -m pytest -q -p no:cacheprovider -m kernels -k cuda --maxfail=50
step device 60 python3 -m pytest -q -p no:cacheprovider tests/cuda

if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck synccheck; do
    step "$tool" 60 compute-sanitizer --tool "$tool" --error-exitcode 9 \
      python3 -m pytest -q -p no:cacheprovider tests/cuda/test_training.py -k lenet
  done
else
  echo "SKIPPED compute-sanitizer: not found" | tee -a "$out/summary.txt"
fi
step bench 120 python3 bench/gpu.py --out "$out"
cat "$out/summary.txt"
exit $failed
