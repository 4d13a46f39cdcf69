"""Times kernels on a GPU beside PyTorch's, with data on the device and the queue drained.

    python bench/gpu.py [--out FOLDER] [--device cuda] [--rounds 7]

One row a kernel: ours in float32, PyTorch in strict float32, TF32 and bfloat16. A time is the
median of the rounds, each of enough calls to last a while, ours and PyTorch's taking turns. The
table goes to FOLDER/bench.md with the device and the versions.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import ranvier as rv
import ranvier.functional as F

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

Row = tuple[str, float, Callable[[Any], Callable[[], Any]], Callable[[Any], Callable[[], Any]]]


def _numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def rows(small: bool) -> list[Row]:
    """Name, work (floating-point operations or bytes), ours and PyTorch's: data in, call out."""
    size, batch = (64, 1) if small else (4096, 64)

    def product(m: int, n: int, k: int) -> Row:
        a, b = _numbers(m, k), _numbers(k, n)
        return (
            f"matmul {m}x{k} by {k}x{n}",
            2.0 * m * n * k,
            lambda put: (lambda x, y: lambda: x @ y)(put(a), put(b)),
            lambda put: (lambda x, y: lambda: x @ y)(put(a), put(b)),
        )

    def convolution(n: int, c: int, size: int, k: int, kernel: int) -> Row:
        x, w = _numbers(n, c, size, size), _numbers(k, c, kernel, kernel)
        return (
            f"conv2d {n},{c},{size} to {k}, {kernel}x{kernel}",
            2.0 * n * c * size * size * k * kernel * kernel,
            lambda put: (lambda a, b: lambda: F.conv2d(a, b, padding=kernel // 2))(put(x), put(w)),
            lambda put: (
                lambda a, b: lambda: torch.nn.functional.conv2d(a, b, padding=kernel // 2)
            )(put(x), put(w)),
        )

    def map_of(name: str, ours: Callable[..., Any], theirs: Callable[..., Any], moved: int) -> Row:
        x = _numbers(size, size)
        return (
            f"{name} {size}x{size}",
            float(moved * x.nbytes),
            lambda put: (lambda a: lambda: ours(a))(put(x)),
            lambda put: (lambda a: lambda: theirs(a))(put(x)),
        )

    return [
        product(size, size, size),
        product(size, 64, size),
        convolution(batch, 64, 56 if not small else 8, 64, 3),
        convolution(batch, 3, 224 if not small else 16, 64, 7),
        map_of("add", lambda a: a + a, lambda a: a + a, 2),
        map_of("relu", F.relu, lambda a: torch.relu(a), 2),
        map_of("sum of rows", lambda a: a.sum(1), lambda a: a.sum(1), 1),
        map_of("softmax", F.softmax, lambda a: torch.softmax(a, -1), 2),
    ]


def once(call: Callable[[], Any], drain: Callable[[], None], seconds: float) -> float:
    """Seconds of one call, from as many as fill the given time."""
    call()
    drain()
    start = time.perf_counter()
    call()
    drain()
    count = max(1, int(seconds / max(time.perf_counter() - start, 1e-7)))
    start = time.perf_counter()
    for _ in range(count):
        call()
    drain()
    return (time.perf_counter() - start) / count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--small", action="store_true", help="tiny shapes: does it run?")
    options = parser.parse_args()
    on_gpu = options.device.startswith("cuda")
    if on_gpu and not rv.cuda.is_available():
        print(f"SKIPPED: {rv.cuda.why_not()}")
        return 0
    peer = torch is not None and (torch.cuda.is_available() or not on_gpu)

    def drain() -> None:
        if on_gpu:
            rv.cuda.synchronize(options.device)
            if peer:
                torch.cuda.synchronize()

    versions = f"ranvier {rv.__version__}" + (f", PyTorch {torch.__version__}" if peer else "")
    name = rv.cuda.device_name(options.device) if on_gpu else "cpu"
    lines = [f"{name}; {versions}; medians of {options.rounds} rounds, milliseconds", ""]
    columns = ["ours float32", *(["torch float32", "torch TF32", "torch bfloat16"] if peer else [])]
    lines.append("| kernel | " + " | ".join(columns) + " | ours, G/s |")
    lines.append("| --- " * (len(columns) + 2) + "|")
    for title, work, ours, theirs in rows(options.small):
        calls: list[tuple[Callable[[], Any], bool]] = [
            (ours(lambda a: rv.tensor(a, device=options.device)), False)
        ]
        if peer:
            for half in (None, None, torch.bfloat16):
                calls.append(
                    (
                        theirs(lambda a, h=half: torch.tensor(a, device=options.device, dtype=h)),
                        True,
                    )
                )
        times: list[list[float]] = [[] for _ in calls]
        for _ in range(options.rounds):
            for column, (call, _) in enumerate(calls):
                if peer:
                    torch.backends.cuda.matmul.allow_tf32 = column == 2
                    torch.backends.cudnn.allow_tf32 = column == 2
                times[column].append(once(call, drain, 0.002 if options.small else 0.02))
        medians = [statistics.median(t) for t in times]
        shown = " | ".join(f"{m * 1e3:.4f}" for m in medians)
        lines.append(f"| {title} | {shown} | {work / medians[0] / 1e9:.1f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        (options.out / "bench.md").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
