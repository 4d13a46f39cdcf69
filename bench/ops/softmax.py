"""Softmax along rows: classes of a classifier, a vocabulary, the channels of a segmentation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier.bench.ops._jax import compiled
from ranvier.bench.suite import Row

# shape, axis
CASES = [((64, 10), 1), ((1024, 1000), 1), ((32, 8000), 1), ((4, 21, 96, 96), 1)]


def ours(d: dict[str, Any], name: str, dim: int, backward: bool) -> Any:
    import ranvier as rv

    x, g = rv.tensor(d["x"], requires_grad=backward), rv.tensor(d["g"])
    function = getattr(rv.functional, name)

    def step() -> Any:
        y = function(x, dim)
        if not backward:
            return y
        x.grad = None
        y.backward(g)
        return x.grad

    return step


def torchs(d: dict[str, Any], name: str, dim: int, backward: bool) -> Any:
    import torch

    x, g = torch.tensor(d["x"], requires_grad=backward), torch.tensor(d["g"])
    function = getattr(torch.nn.functional, name)

    def step() -> Any:
        y = function(x, dim)
        if not backward:
            return y
        x.grad = None
        y.backward(g)
        return x.grad

    return step


def jaxs(name: str, dim: int, backward: bool) -> Any:
    """JAX's; the gradient of x by the upstream one."""

    def make(jax: Any) -> Any:
        function = getattr(jax.nn, name)
        if not backward:
            return lambda x, g: function(x, dim)
        return lambda x, g: jax.vjp(lambda v: function(v, dim), x)[1](g)[0]

    return compiled(make, "x", "g")


def row(name: str, shape: tuple[int, ...], dim: int, backward: bool) -> Row:
    return Row(
        f"{name} {'x'.join(map(str, shape))} {'forward + backward' if backward else 'forward'}",
        lambda rng: {k: rng.standard_normal(shape, np.float32) for k in "xg"},
        {
            "ranvier": lambda d: ours(d, name, dim, backward),
            "torch": lambda d: torchs(d, name, dim, backward),
            "jax": jaxs(name, dim, backward),
        },
        bytes=(20.0 if backward else 8.0) * np.prod(shape),
        compiles=name == "softmax" and shape[0] != 64,
    )


ROWS = [
    row(name, shape, dim, backward)
    for name in ("softmax", "log_softmax")
    for shape, dim in CASES
    for backward in (False, True)
]
