#!/usr/bin/env bash
# Developer build: compiles the extension into python/ranvier, so that
# `PYTHONPATH=python python ...` runs this tree. Extra arguments go to CMake, for example
#   tools/build.sh -DCMAKE_BUILD_TYPE=RelWithDebInfo
set -euo pipefail
cd "$(dirname "$0")/.."
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
cmake -S . -B build/dev -G Ninja -DRANVIER_INPLACE=ON -DRANVIER_WERROR=ON \
  -DPython_EXECUTABLE="$(command -v python)" "${launcher[@]}" "$@" >build-dev.log 2>&1 ||
  { cat build-dev.log; exit 1; }
cmake --build build/dev
