"""Layer normalization over the features of tokens."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier.bench.suite import Row

SHAPES = [(4096, 768), (512, 256), (32, 100352)]


def data(shape: tuple[int, int]) -> Any:
    """Tokens, upstream gradients, weight and bias."""

    def make(rng: np.random.Generator) -> dict[str, Any]:
        arrays = {k: rng.standard_normal(shape, dtype=np.float32) for k in ("x", "dy")}
        return arrays | {k: rng.standard_normal(shape[1], dtype=np.float32) for k in ("w", "b")}

    return make


def forward_ours(d: dict[str, Any]) -> Any:
    import ranvier as rv

    x, w, b = (rv.from_numpy(d[k]) for k in ("x", "w", "b"))
    return lambda: rv.functional.layer_norm(x, w.shape, w, b)


def forward_torch(d: dict[str, Any]) -> Any:
    import torch

    x, w, b = (torch.from_numpy(d[k]) for k in ("x", "w", "b"))
    return lambda: torch.nn.functional.layer_norm(x, w.shape, w, b)


def both_ours(d: dict[str, Any]) -> Any:
    import ranvier as rv

    x, w, b = (rv.tensor(d[k], requires_grad=True) for k in ("x", "w", "b"))
    dy = rv.from_numpy(d["dy"])

    def step() -> Any:
        x.grad = w.grad = b.grad = None
        rv.functional.layer_norm(x, w.shape, w, b).backward(dy)
        return [x.grad, w.grad, b.grad]

    return step


def both_torch(d: dict[str, Any]) -> Any:
    import torch

    x, w, b = (torch.from_numpy(d[k]).requires_grad_() for k in ("x", "w", "b"))
    dy = torch.from_numpy(d["dy"])

    def step() -> Any:
        x.grad = w.grad = b.grad = None
        torch.nn.functional.layer_norm(x, w.shape, w, b).backward(dy)
        return [x.grad, w.grad, b.grad]

    return step


def rows(shape: tuple[int, int]) -> list[Row]:
    """Forward, and forward with backward."""
    name, size = f"{shape[0]}x{shape[1]}", 4 * shape[0] * shape[1]
    return [
        Row(
            f"{name} forward",
            data(shape),
            {"ranvier": forward_ours, "torch": forward_torch},
            bytes=2 * size,
            compiles=True,
        ),
        Row(
            f"{name} forward and backward",
            data(shape),
            {"ranvier": both_ours, "torch": both_torch},
            bytes=5 * size,
            compiles=True,
        ),
    ]


ROWS = [row for shape in SHAPES for row in rows(shape)]
