#!/usr/bin/env bash
# Builds the extension with sanitizers into build/sanitize-<which>, beside the developer build, and
# runs tests under them. The first finding ends the run with a report.
#   tools/sanitize.sh                         all kernel tests; address and undefined behaviour
#   tools/sanitize.sh tests/ops/test_lstm.py  other arguments go to pytest
#   RANVIER_SANITIZE=thread tools/sanitize.sh data races; the thread pool's tests unless told
#   RANVIER_CPU=avx2 tools/sanitize.sh        the kernels of another instruction set
# In an address build every array ends where its memory block does, and freed memory is given back at
# once (csrc/core/memory.cpp), so that a read past the end or after the release is seen.
set -euo pipefail
cd "$(dirname "$0")/.."
which=${RANVIER_SANITIZE:-address,undefined}
build=build/sanitize-${which//,/-}
package=$build/package/ranvier

launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
mkdir -p "$build"
cmake -S . -B "$build" -G Ninja -DRANVIER_SANITIZE="$which" -DRANVIER_INPLACE=OFF \
  -DPython_EXECUTABLE="$(command -v python)" "${launcher[@]}" >"$build/configure.log" 2>&1 ||
  { cat "$build/configure.log"; exit 1; }
cmake --build "$build" --target _core

# The package of this tree, with the sanitized module in the place of the developer's.
rm -rf "$build/package"
mkdir -p "$package"
for entry in python/ranvier/*; do
  case ${entry##*/} in
    _core.* | __pycache__) ;;
    *) ln -s "$PWD/$entry" "$package/" ;;
  esac
done
ln -s "$PWD/$build"/_core.*.so "$package/"

# Python is not instrumented: the runtime must be loaded before it. The C++ library comes with it,
# because the runtime must find the real __cxa_throw when it starts.
compiler=${CXX:-c++}
runtime=
for library in asan tsan; do
  case $which in
    *address*) if [[ $library != asan ]]; then continue; fi ;;
    *thread*) if [[ $library != tsan ]]; then continue; fi ;;
    *) continue ;;
  esac
  runtime+=$("$compiler" -print-file-name=lib$library.so):
done
runtime+=$("$compiler" -print-file-name=libstdc++.so.6)

arguments=("$@")
if [[ $# == 0 ]]; then
  case $which in
    *thread*) arguments=(tests/test_threads.py tests/test_teams.py) ;;
    *) arguments=(-m kernels) ;;
  esac
fi
# What Python and NumPy leave allocated at exit is theirs; huge requests must fail as they do
# without the sanitizer: with an exception. A finding aborts, so that Python's stack is shown too.
env LD_PRELOAD="$runtime" PYTHONPATH="$PWD/$build/package" PYTHONMALLOC=malloc \
  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:abort_on_error=1${ASAN_OPTIONS:+:$ASAN_OPTIONS} \
  UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:abort_on_error=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS} \
  TSAN_OPTIONS=report_signal_unsafe=0${TSAN_OPTIONS:+:$TSAN_OPTIONS} \
  python -m pytest -q -p no:cacheprovider --capture=sys "${arguments[@]}"
