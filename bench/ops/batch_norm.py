"""Batch normalization in training: reads x twice and writes y; backward reads x and dy twice."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier.bench.suite import Row

SHAPES = [(32, 64, 56, 56), (32, 64, 14, 14), (64, 512, 7, 7), (128, 1024)]


def data(shape: tuple[int, ...]) -> Any:
    """Physically channels-last images and upstream gradients; weight and bias."""

    def make(rng: np.random.Generator) -> dict[str, Any]:
        last = (shape[0], *shape[2:], shape[1])
        arrays = {k: rng.standard_normal(last, dtype=np.float32) for k in ("x", "dy")}
        arrays = {k: np.moveaxis(v, -1, 1) for k, v in arrays.items()}
        return arrays | {k: rng.standard_normal(shape[1], dtype=np.float32) for k in ("w", "b")}

    return make


def forward_ours(d: dict[str, Any]) -> Any:
    import ranvier as rv

    x, w, b = rv.from_numpy(d["x"]), rv.tensor(d["w"]), rv.tensor(d["b"])
    mean, var = rv.zeros(len(d["w"])), rv.ones(len(d["w"]))
    return lambda: rv.functional.batch_norm(x, mean, var, w, b, training=True)


def forward_torch(d: dict[str, Any]) -> Any:
    import torch

    x, w, b = (torch.from_numpy(d[k]) for k in ("x", "w", "b"))
    mean, var = torch.zeros(len(w)), torch.ones(len(w))
    return lambda: torch.nn.functional.batch_norm(x, mean, var, w, b, training=True)


def both_ours(d: dict[str, Any]) -> Any:
    import ranvier as rv

    x, dy = rv.from_numpy(d["x"]), rv.from_numpy(d["dy"])
    w, b = rv.tensor(d["w"], requires_grad=True), rv.tensor(d["b"], requires_grad=True)
    x.requires_grad = True

    def step() -> Any:
        x.grad = w.grad = b.grad = None
        rv.functional.batch_norm(x, None, None, w, b, training=True).backward(dy)
        return [x.grad, w.grad, b.grad]

    return step


def both_torch(d: dict[str, Any]) -> Any:
    import torch

    x, w, b = (torch.from_numpy(d[k]).requires_grad_() for k in ("x", "w", "b"))
    dy = torch.from_numpy(d["dy"])

    def step() -> Any:
        x.grad = w.grad = b.grad = None
        torch.nn.functional.batch_norm(x, None, None, w, b, training=True).backward(dy)
        return [x.grad, w.grad, b.grad]

    return step


def rows(shape: tuple[int, ...]) -> list[Row]:
    """Forward, and forward with backward."""
    name, size = "x".join(map(str, shape)), 4 * int(np.prod(shape))
    return [
        Row(
            f"{name} training forward",
            data(shape),
            {"ranvier": forward_ours, "torch": forward_torch},
            bytes=3 * size,
        ),
        Row(
            f"{name} training forward and backward",
            data(shape),
            {"ranvier": both_ours, "torch": both_torch},
            bytes=8 * size,
        ),
    ]


ROWS = [row for shape in SHAPES for row in rows(shape)]
