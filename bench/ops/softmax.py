"""Softmax and its logarithm along rows and along channels, forward and with the gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier.bench.suite import Row

# shape, axis, where from
CASES = [
    ((64, 10), 1, "digits"),
    ((256, 1000), 1, "ImageNet classes"),
    ((32, 50000), 1, "a vocabulary"),
    ((64, 8, 64, 64), 3, "attention"),
    ((4, 21, 128, 128), 1, "segmentation"),
]


def step(x: Any, function: Any, axis: int, seed: Any) -> Any:
    def run() -> Any:
        if seed is None:
            return function(x, axis)
        x.grad = None
        function(x, axis).backward(seed)
        return x.grad

    return run


def ours(d: dict[str, Any], name: str, axis: int, train: bool) -> Any:
    import ranvier as rv

    x = rv.from_numpy(d["x"]).requires_grad_(train)
    return step(x, getattr(rv.functional, name), axis, rv.from_numpy(d["seed"]) if train else None)


def torchs(d: dict[str, Any], name: str, axis: int, train: bool) -> Any:
    import torch

    x = torch.from_numpy(d["x"]).requires_grad_(train)
    return step(x, getattr(torch, name), axis, torch.from_numpy(d["seed"]) if train else None)


def row(name: str, shape: tuple[int, ...], axis: int, where: str, train: bool) -> Row:
    return Row(
        f"{name} {'x'.join(map(str, shape))} ({where}) {'training' if train else 'forward'}",
        lambda rng: {k: rng.standard_normal(shape, np.float32) for k in ("x", "seed")},
        {
            "ranvier": lambda d: ours(d, name, axis, train),
            "torch": lambda d: torchs(d, name, axis, train),
        },
        bytes=4.0 * np.prod(shape) * (5 if train else 2),
    )


ROWS = [
    row(name, *case, train)
    for name in ("softmax", "log_softmax")
    for case in CASES
    for train in (False, True)
]
