"""`ranvier info`: versions, instruction set, threads, devices; what there is and why not."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import sys
from importlib import metadata
from typing import Any

import numpy as np

import ranvier as rv
from ranvier import _core

_OPTIONAL = ("tqdm", "matplotlib", "Pillow")


def collect() -> dict[str, Any]:
    """Everything that `ranvier info` shows, as plain values."""
    return {
        "ranvier": rv.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu_name(),
        "instruction set": _level(),
        "threads": _threads(),
        "cuda": cuda_state(),
        "unproven": unproven(),
        "optional": {name: _version(name) for name in _OPTIONAL},
        "data folder": _cache(),
        "package": os.path.dirname(os.path.abspath(rv.__file__ or "")),
    }


def main(options: argparse.Namespace) -> int:
    """Print it."""
    facts = collect()
    if options.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return 0
    facts["optional"] = ", ".join(
        f"{name} {version or '(not installed)'}" for name, version in facts["optional"].items()
    )
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")
    if "(not installed)" in facts["optional"]:
        print(f"{'':<{width}}  pip install 'ranvier[cli]' brings the optional packages")
    return 0


def _level() -> str:
    forced = os.environ.get("RANVIER_CPU")
    return str(rv.cpu_level()) + (f" (forced by RANVIER_CPU={forced})" if forced else "")


def _threads() -> str:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text = f"{rv.num_threads()} ({allowed} processors may be used of {os.cpu_count()})"
    for name in ("RANVIER_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(name):
            return f"{text}, {name}={os.environ[name]}"
    return text


def cuda_state() -> str:
    """Whether CUDA can be used, and if not, why."""
    if rv.cuda.is_available():
        devices = [rv.cuda.device_name(f"cuda:{i}") for i in range(rv.cuda.device_count())]
        return f"{'; '.join(devices)}; library for {_core.device_library()[1]}"
    driver = _driver()
    found = f"driver for CUDA {driver}" if driver else "no NVIDIA driver (libcuda.so.1)"
    return f"not available: {rv.cuda.why_not()}; {found} found"


def unproven() -> str:
    """Kernels for GPUs that no GPU has run yet."""
    paths = [f"{name} ({'on' if on else 'off'})" for name, on in rv.cuda.unproven().items()]
    return f"on GPUs: {', '.join(paths)}; rv.cuda.allow_unproven switches them"


def _driver() -> str | None:
    """The CUDA version that the installed driver supports, without creating a context."""
    try:
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        version = ctypes.c_int(0)
        if library.cuDriverGetVersion(ctypes.byref(version)) != 0:
            return None
    except (OSError, AttributeError):
        return None
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cache() -> str:
    from ranvier.data import cache_folder

    return str(cache_folder())
