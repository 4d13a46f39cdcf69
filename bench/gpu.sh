#!/usr/bin/env bash
# Everything that needs a GPU, in one go and in under nine minutes:
#   bash bench/gpu.sh [OUT]
# builds the CUDA library, holds every op on it against the float64 reference on odd shapes with
# poisoned memory, compares curves and runs with the CPU's, times kernels and training steps beside
# PyTorch, and looks for wrong accesses and races on small shapes. OUT (gpu-results by default) gets
# summary.txt, curves.md, kernels.md, steps.md, and all logs in logs.tar.gz, written anew after each
# section, so that a run that is cut short leaves what it has. Needs nvcc, cmake, numpy, nanobind,
# pytest and hypothesis, and torch for the comparison; no network. What is missing, or has no time
# left, prints SKIPPED; a section that fails does not keep the others from running. A table that was
# not made, or not to its end, says "Not measured". Exit code: 1 where something failed, else 3 where
# something was skipped, else 0.
#
#   SECTIONS="build tests" bash bench/gpu.sh   some sections only; what was built stays
#   CUDA_LIBRARY=.../_cuda.so                  takes this library: no nvcc is needed
#   SECONDS_IN_ALL=530                         the budget
#   DRY=1 bash bench/gpu.sh [OUT]              the same steps on the emulation, with tiny shapes
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-gpu-results}
dry=${DRY:-}
known=" build info device tests curves kernels steps unproven memcheck racecheck synccheck profile "
chosen=" ${SECTIONS:-$known} "
for name in $chosen; do
  [[ $known == *" $name "* ]] || { echo "expected sections of$known- got $name"; exit 2; }
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
logs=$(mktemp -d)
total=${SECONDS_IN_ALL:-530}
failed=0
skipped=0
pack() {
  for log in "$logs"/*; do # a log that repeats itself a million times says no more than its ends
    if (($(wc -c <"$log") > 2000000)); then
      { head -c 900000 "$log"; printf '\n...\n'; tail -c 900000 "$log"; } >"$log.cut"
      mv "$log.cut" "$log"
    fi
  done
  tar -czf "$out/logs.new" -C "$logs" . && mv "$out/logs.new" "$out/logs.tar.gz"
}
trap 'pack; rm -rf "$logs"' EXIT
trap 'kill $(jobs -p) 2>/dev/null; exit 143' TERM INT
say() { echo "$*" | tee -a "$out/summary.txt"; }
skip() { # skip NAME REASON
  skipped=1
  say "$(printf '%-10s SKIPPED: %s' "$1" "$2")"
  unmeasured "$1" "$2"
}
unmeasured() { # unmeasured NAME REASON: says so at the end of its table
  [[ " curves kernels steps " != *" $1 "* ]] || printf '\nNot measured: %s\n' "$2" >>"$out/$1.md"
}
for part in curves kernels steps; do # of an earlier run
  [[ $chosen != *" $part "* ]] || rm -f "$out/$part.md"
done
unusable='' # why the device cannot be used, once that is known
step() { # step NAME SECONDS COMMAND...
  local name=$1 limit=$2 started=$SECONDS code=0
  shift 2
  [[ $chosen == *" $name "* ]] || return 0
  if [[ -n $unusable ]]; then
    skip "$name" "$unusable"
    return 0
  fi
  if ((limit > total - SECONDS)); then limit=$((total - SECONDS)); fi
  if ((limit < 10)); then
    skip "$name" "no time left"
    return 0
  fi
  # A process that hangs in the driver may not hear the first signal. In the background: bash then
  # hears its own at once.
  timeout -k 5 "$limit" "$@" >"$logs/$name.log" 2>&1 </dev/null &
  wait $! || code=$?
  say "$(printf '%-10s %4d s  exit %d  %s' "$name" $((SECONDS - started)) "$code" \
    "$(grep -v '^$' "$logs/$name.log" | tail -1 | cut -c1-120)")"
  if ((code == 124 || code >= 128)); then
    unmeasured "$name" "the rest: stopped after $((SECONDS - started)) s, exit $code"
  fi
  if ((code != 0)); then
    failed=1
    grep -hE '^(FAILED|ERROR|WRONG|SKIPPED)|[Ee]rror[: ]|no GPU was' "$logs/$name.log" | cut -c1-200 |
      awk '!seen[$0]++' | head -12 | sed 's/^/             /' | tee -a "$out/summary.txt"
  fi
  pack
  return 0
}
: >"$out/summary.txt"
export PYTHONPATH="$PWD/python" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
{
  nvidia-smi; nvcc --version; cmake --version; c++ --version; ninja --version; nproc; free -g
  python3 - <<'PY'
import importlib.metadata as m, sys, sysconfig
print(sys.version, sysconfig.get_paths()["include"])
for name in ("numpy", "nanobind", "pytest", "hypothesis", "torch"):
    try:
        print(name, m.version(name))
    except m.PackageNotFoundError:
        print(name, "is missing")
PY
} >"$logs/machine.log" 2>&1
say "$(grep -m1 -oE 'NVIDIA [A-Z]+[0-9]+[^|]*' "$logs/machine.log" || echo 'SKIPPED nvidia-smi: no GPU')"

build() { # build OPTIONS...
  local generator=()
  if command -v ninja >/dev/null; then generator=(-G Ninja); fi
  cmake -S . -B build/gpu "${generator[@]}" -DRANVIER_INPLACE=ON "$@" \
    -DPython_EXECUTABLE="$(command -v python3)" && cmake --build build/gpu -j "$(nproc)"
}
export -f build
options=(-DRANVIER_CUDA=ON -DRANVIER_CUDA_ARCHITECTURES=native)
small=()
slow=1
if [[ -n ${CUDA_LIBRARY:-} ]]; then
  options=(-DRANVIER_CUDA=OFF)
  [[ $CUDA_LIBRARY -ef python/ranvier/_cuda.so ]] || cp "$CUDA_LIBRARY" python/ranvier/_cuda.so
fi
if [[ -n $dry ]]; then
  options=(-DRANVIER_EMULATION=ON)
  small=(--small)
  slow=3
  export RANVIER_EMULATE=1 RANVIER_NUM_THREADS=1
fi
step build $((270 * slow)) bash -c 'build "$@"' - "${options[@]}"
step info 30 python3 -m ranvier.cli info
# Without a device there is nothing to test: pytest would skip, and call that a success.
unusable=$(timeout -k 5 60 python3 2>"$logs/usable.log" - <<'PY'
import ranvier
reason = ranvier.cuda.why_not()
if not reason:  # is there code for it, and is it free?
    try:
        (ranvier.ones(3, device="cuda") + 1).tolist()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
print(reason)
PY
)
case $? in
  0) ;;
  124 | 137) unusable='the first use of the device hangs' ;;
  *) unusable='the package cannot be imported: see build.log and usable.log' ;;
esac

# Warnings are those of the packages that happen to be here. Kernels that no GPU has run may hang or
# lose the device: their tests run apart, and later.
tests=(python3 -W default -m pytest -W default -q -p no:cacheprovider -m kernels)
quick=()
[[ -n $dry ]] && quick=(tests/cuda/test_chains.py) || quick=(tests/cuda)
step device $((60 * slow)) "${tests[@]}" "${quick[@]}" \
  --deselect tests/cuda/test_hopper.py -k "not Hopper and not tf32x3"

# Every case on the device, each gradient too, eight processes at a time, few files each: one that
# loses the device takes only these along. Winograd's are of the CPU alone. Memory is poisoned, and
# each case runs twice for the same bits.
every() {
  printf '%s\n' $1 | grep -v winograd |
    RANVIER_TEST_DEVICES=cuda RANVIER_POISON=1 xargs -P 8 -n 3 \
      python3 -W default -m pytest -W default -q -p no:cacheprovider -m kernels -k cuda \
      --maxfail=30 --tb=short
}
export -f every
files='tests/ops/test_*.py'
[[ -n $dry ]] && files='tests/ops/test_where.py tests/ops/test_clip.py'
step tests $((200 * slow)) bash -o pipefail -c 'every "$1"' - "$files"

for part in curves kernels steps; do
  step $part $((100 * slow)) python3 bench/gpu.py --out "$out" --part $part "${small[@]}"
done

step unproven $((60 * slow)) "${tests[@]}" \
  tests/cuda/test_hopper.py tests/cuda/test_tensor_cores.py -k "hopper or Hopper or tf32x3"

# Wrong accesses and races, on small shapes: training steps, eager and captured but without graphs,
# and some ops.
for tool in memcheck racecheck synccheck; do
  if [[ -n $dry ]] || ! command -v compute-sanitizer >/dev/null; then
    [[ $chosen != *" $tool "* || -n $dry ]] || skip $tool "${unusable:-no compute-sanitizer}"
    continue
  fi
  RANVIER_POISON=1 RANVIER_GRAPH=0 RANVIER_TEST_DEVICES=cuda step $tool 60 compute-sanitizer \
    --tool $tool --error-exitcode 9 "${tests[@]}" tests/cuda/test_training.py \
    tests/ops/test_softmax.py tests/ops/test_max_pool.py tests/ops/test_matmul.py \
    -k "lenet or (cuda and value and float32)"
done

# Where the time of some kernels goes.
if [[ -n $dry ]] || ! command -v ncu >/dev/null; then
  [[ $chosen != *" profile "* || -n $dry ]] || skip profile "${unusable:-no ncu}"
else
  step profile 60 ncu --clock-control none --target-processes all --section SpeedOfLight \
    --section Occupancy --section LaunchStats python3 bench/gpu.py --part once
fi
((failed == 0)) || exit 1
((skipped == 0)) || exit 3
exit 0
