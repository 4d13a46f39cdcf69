"""Reading and adding by position along an axis; running sums and norms beside them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier.bench.ops import _calls
from ranvier.bench.suite import Row

SHAPE = (1000, 1000)


def numbers(rng: np.random.Generator) -> dict[str, Any]:
    return {"x": rng.standard_normal(SHAPE, np.float32), "index": rng.integers(0, 1000, SHAPE)}


def call(f: Any, name: str, x: Any, index: Any, dim: int) -> Any:
    if name == "gather":
        return lambda: f.gather(x, dim, index)
    if name == "scatter_add":
        return lambda: f.scatter_add(x, dim, index, x)
    if name == "norm":
        return lambda: f.norm(x, 2, dim)
    return lambda: getattr(f, name)(x, dim)


def ours(d: dict[str, Any], name: str, dim: int) -> Any:
    import ranvier as rv

    return call(rv.functional, name, rv.from_numpy(d["x"]), rv.from_numpy(d["index"]), dim)


def torchs(d: dict[str, Any], name: str, dim: int) -> Any:
    import torch

    return call(torch, name, torch.from_numpy(d["x"]), torch.from_numpy(d["index"]), dim)


def row(name: str, dim: int) -> Row:
    return Row(
        f"{name} {'x'.join(map(str, SHAPE))} (axis {dim})",
        numbers,
        {"ranvier": lambda d: ours(d, name, dim), "torch": lambda d: torchs(d, name, dim)},
        bytes=(16.0 if name in ("gather", "scatter_add") else 8.0) * np.prod(SHAPE),
    )


NAMES = ("gather", "scatter_add", "cumsum", "cumprod", "norm")
ROWS = [
    *(row(name, dim) for name in NAMES for dim in (0, 1)),
    _calls.row(
        "index_add 4000x32 to 500x32 (edges of a graph)",
        {"x": (500, 32), "y": (4000, 32), "index": lambda rng: rng.integers(0, 500, 4000)},
        lambda f, t: t["x"].index_add(0, t["index"], t["y"]),
        moved=2,
    ),
]
