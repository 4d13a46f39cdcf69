"""The machine that is measured on: processor, versions, and the limits of its arithmetic."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from typing import Any

import numpy as np

from ranvier.bench.moments import Moments

SIZES = [1 << k for k in (17, 19, 21, 23, 25, 27, 28)]  # bytes that one pass over memory moves
PATTERNS = ("read", "copy", "update", "add")


def describe_machine(threads: int, moments: Moments) -> dict[str, Any]:
    """Processor, versions, the FMA peak, and the bandwidth of each pattern at each size.

    Args:
        threads: how many take part.
        moments: in which the bandwidths are taken, as all timings are.
    """
    import ranvier as rv
    from ranvier import _core

    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as info:
            for text in info:
                if text.startswith("model name"):
                    model = text.split(":", 1)[1].strip()
                    break
    _core.set_num_threads(threads)
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "ranvier": rv.__version__,
    }
    for name in ("torch", "jax"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue

    def best(pattern: str, size: int) -> float:
        return moments.measure(lambda: _core.measure_stream(pattern, size))

    streams = {
        pattern: [max(best(pattern, n) for _ in range(2)) / 1e9 for n in SIZES]
        for pattern in PATTERNS
    }
    return {
        "processor": model,
        "level": _core.cpu_level(),
        "threads": threads,
        "peak_gflops": measure_peak(),
        "streams": {p: [round(v, 2) for v in values] for p, values in streams.items()},
        "versions": versions,
        "date": time.strftime("%Y-%m-%d"),
    }


def measure_peak() -> float:
    """Multiply-adds in registers on all threads, GFLOP/s: the best of five."""
    from ranvier import _core

    return max(_core.measure_flops() for _ in range(5)) / 1e9


def bandwidth(machine: dict[str, Any], pattern: str, size: float) -> float:
    """GB/s of a pass of this pattern that moves `size` bytes, between the sizes measured."""
    return float(np.interp(np.log(max(size, 1.0)), np.log(SIZES), machine["streams"][pattern]))


def one_line(machine: dict[str, Any]) -> str:
    """What a table was measured on."""
    copy = machine["streams"]["copy"][-1]
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    return (
        f"{machine['processor']}, {machine['level']}, {machine['threads']} threads, "
        f"FMA peak {machine['peak_gflops']:.0f} GFLOP/s, copy {copy:.0f} GB/s, {versions}"
    )
