"""Times kernels on a GPU beside PyTorch's, with data on the device and the queue drained.

    python bench/gpu.py [--out FOLDER] [--device cuda] [--rounds 7]

One row a kernel: ours and PyTorch's in strict float32, TF32 and bfloat16; products also by the
kernels that no GPU has proven yet (`rv.cuda.allow_unproven`), after their results were held against
the others'. A time is the median of the rounds, each of enough calls to last a while, all taking
turns. The table goes to FOLDER/bench.md with the device and the versions.
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

# Ours: name, precision, unproven path, dtype.
WAYS = [
    ("float32", "highest", None, rv.float32),
    ("TF32", "high", None, rv.float32),
    ("bfloat16", "highest", None, rv.bfloat16),
]
UNPROVEN = [
    ("3xTF32", "highest", "tf32x3", rv.float32),
    ("Hopper TF32", "high", "hopper", rv.float32),
    ("Hopper bfloat16", "highest", "hopper", rv.bfloat16),
]
PRODUCTS = ("matmul", "linear", "conv2d")

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

    def layer(m: int, c: int, k: int) -> Row:
        x, w = _numbers(m, c), _numbers(k, c)
        return (
            f"linear {m}x{c} to {k}",
            2.0 * m * c * k,
            lambda put: (lambda a, b: lambda: F.linear(a, b))(put(x), put(w)),
            lambda put: (lambda a, b: lambda: torch.nn.functional.linear(a, b))(put(x), put(w)),
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
        layer(size, size, size),
        layer(256, size, size),
        convolution(batch, 64, 56 if not small else 8, 64, 3),
        convolution(batch, 3, 224 if not small else 16, 64, 7),
        map_of("add", lambda a: a + a, lambda a: a + a, 2),
        map_of("relu", F.relu, lambda a: torch.relu(a), 2),
        map_of("sum of rows", lambda a: a.sum(1), lambda a: a.sum(1), 1),
        map_of("softmax", F.softmax, lambda a: torch.softmax(a, -1), 2),
    ]


def agree(call: Callable[[], Any], reference: np.ndarray, error: float) -> bool:
    """Whether a result is the reference but for an error relative to its largest number."""
    found = call().to(rv.float32).cpu().numpy()
    return bool(np.abs(found - reference).max() <= error * np.abs(reference).max())


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


def choose(on_gpu: bool, precision: str, path: str | None) -> None:
    """The precision and the unproven path, or none, of the calls that follow."""
    rv.set_matmul_precision(precision)
    if on_gpu:
        rv.cuda.allow_unproven(*([path] if path else []))


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

    wrong = 0
    versions = f"ranvier {rv.__version__}" + (f", PyTorch {torch.__version__}" if peer else "")
    name = rv.cuda.device_name(options.device) if on_gpu else "cpu"
    lines = [f"{name}; {versions}; medians of {options.rounds} rounds, milliseconds", ""]
    ways = WAYS + UNPROVEN if on_gpu else WAYS[:1]
    columns = [f"ours {way[0]}" for way in ways]
    columns += ["torch float32", "torch TF32", "torch bfloat16"] if peer else []
    lines.append("| kernel | " + " | ".join(columns) + " | ours float32, G/s |")
    lines.append("| --- " * (len(columns) + 2) + "|")
    for title, work, ours, theirs in rows(options.small):
        calls: list[Callable[[], Any] | None] = []
        reference: np.ndarray | None = None
        for label, precision, path, dtype in ways:
            if label != "float32" and title.split()[0] not in PRODUCTS:
                calls.append(None)
                continue
            call = ours(lambda a, t=dtype: rv.tensor(a, device=options.device).to(t))
            choose(on_gpu, precision, path)
            if reference is None:
                reference = call().cpu().numpy()
            elif not agree(call, reference, 0.05):
                print(f"WRONG: {title} in {label}")
                wrong += 1
            calls.append(call)
        for half in (None, None, torch.bfloat16) if peer else ():
            calls.append(theirs(lambda a, h=half: torch.tensor(a, device=options.device, dtype=h)))
        times: list[list[float]] = [[] for _ in calls]
        for _ in range(options.rounds):
            for column, call in enumerate(calls):
                if call is None:
                    continue
                if column < len(ways):
                    choose(on_gpu, *ways[column][1:3])
                else:
                    torch.backends.cuda.matmul.allow_tf32 = column == len(ways) + 1
                    torch.backends.cudnn.allow_tf32 = column == len(ways) + 1
                times[column].append(once(call, drain, 0.002 if options.small else 0.01))
        medians = [statistics.median(t) if t else 0.0 for t in times]
        shown = " | ".join(f"{m * 1e3:.4f}" if m else "" for m in medians)
        lines.append(f"| {title} | {shown} | {work / medians[0] / 1e9:.1f} |")
    choose(on_gpu, "highest", None)
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        (options.out / "bench.md").write_text(text)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
