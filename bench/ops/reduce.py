"""Reductions along rows, columns, channels and everything: read-only, so held against memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier.bench.ops import _calls
from ranvier.bench.ops._jax import compiled
from ranvier.bench.suite import Row

# name, shape, axes, where from
CASES = [
    ("sum", (4096, 4096), None, "all"),
    ("sum", (4096, 4096), 1, "rows"),
    ("sum", (4096, 4096), 0, "columns"),
    ("mean", (64, 64, 56, 56), (0, 2, 3), "channels"),
    ("var", (64, 64, 56, 56), (0, 2, 3), "channels"),
    ("max", (4096, 4096), 1, "rows"),
    ("argmax", (4096, 4096), 1, "rows"),
    ("argmax", (256, 10), 1, "predicted classes"),
    ("sum", (64, 120), 0, "gradient of a bias"),
    ("sum", (64, 10), None, "a small loss"),
]


def ours(d: dict[str, Any], name: str, dim: Any) -> Any:
    import ranvier as rv

    x = rv.from_numpy(d["x"])
    function = getattr(rv.functional, "amax" if name == "max" else name)
    return lambda: function(x, dim)


def torchs(d: dict[str, Any], name: str, dim: Any) -> Any:
    import torch

    x = torch.from_numpy(d["x"])
    if dim is None:
        return lambda: getattr(torch, name)(x)
    function = getattr(torch, "amax" if name == "max" else name)
    return lambda: function(x, dim)


def row(name: str, shape: tuple[int, ...], dim: Any, where: str) -> Row:
    return Row(
        f"{name} {'x'.join(map(str, shape))} ({where})",
        lambda rng: {"x": rng.standard_normal(shape, np.float32)},
        {
            "ranvier": lambda d: ours(d, name, dim),
            "torch": lambda d: torchs(d, name, dim),
            "numpy": lambda d: lambda: getattr(np, name)(d["x"], axis=dim),
            "jax": compiled(lambda jax: lambda x: getattr(jax.numpy, name)(x, axis=dim), "x"),
        },
        bytes=4.0 * np.prod(shape),
        pattern="read",
    )


ROWS = [
    *(row(*case) for case in CASES),
    *(
        _calls.row(
            f"max 64x50x100 (axis {dim})",
            {"x": (64, 50, 100)},
            lambda f, t, dim=dim: t["x"].max(dim)[0],
            moved=1,
        )
        for dim in (1, 2)
    ),
    _calls.row(
        "sum 32x64x56x56 (channels)",
        {"x": (32, 64, 56, 56)},
        lambda f, t: t["x"].sum((0, 2, 3)),
        moved=1,
    ),
]
