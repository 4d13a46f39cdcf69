"""Pooling at the sizes of real networks, forward and with the gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier.bench.suite import Row

# shape, kernel, stride, padding, where from
CASES = [
    ((64, 6, 28, 28), 2, 2, 0, "LeNet"),
    ((64, 16, 10, 10), 2, 2, 0, "LeNet"),
    ((8, 64, 112, 112), 3, 2, 1, "ResNet stem"),
    ((4, 64, 128, 128), 2, 2, 0, "U-Net"),
]


def step(x: Any, pool: Any, options: tuple[int, int, int], seed: Any) -> Any:
    def run() -> Any:
        if seed is None:
            return pool(x, *options)
        x.grad = None
        pool(x, *options).backward(seed)
        return x.grad

    return run


def ours(d: dict[str, Any], name: str, options: tuple[int, int, int], train: bool) -> Any:
    import ranvier as rv

    x = rv.from_numpy(d["x"]).requires_grad_(train)
    seed = rv.from_numpy(d["seed"]) if train else None
    return step(x, getattr(rv.functional, name), options, seed)


def torchs(d: dict[str, Any], name: str, options: tuple[int, int, int], train: bool) -> Any:
    import torch

    x = torch.from_numpy(d["x"]).requires_grad_(train)
    seed = torch.from_numpy(d["seed"]) if train else None
    return step(x, getattr(torch.nn.functional, name), options, seed)


def row(
    name: str, shape: tuple[int, ...], kernel: int, stride: int, padding: int, where: str,
    train: bool,
) -> Row:  # fmt: skip
    """One row: the function `name` of the functional namespace, on one of the CASES."""
    options = (kernel, stride, padding)
    sides = [(s + 2 * padding - kernel) // stride + 1 for s in shape[2:]]
    small = (*shape[:2], *sides)
    return Row(
        f"{'x'.join(map(str, shape))} {kernel}x{kernel}/{stride} ({where}) "
        f"{'training' if train else 'forward'}",
        lambda rng: {
            "x": rng.standard_normal(shape, np.float32),
            "seed": rng.standard_normal(small, np.float32),
        },
        {
            "ranvier": lambda d: ours(d, name, options, train),
            "torch": lambda d: torchs(d, name, options, train),
        },
        bytes=4.0 * (np.prod(shape) + np.prod(small)) * (2 if train else 1),
    )
