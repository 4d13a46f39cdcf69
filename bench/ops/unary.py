"""Functions of one number, forward and with their gradient, in cache and in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ranvier.bench.ops._jax import compiled
from ranvier.bench.suite import Row

NAMES = ("relu", "sigmoid", "tanh", "exp", "log", "gelu")
SHAPES = [(64, 16, 28, 28), (64, 64, 56, 56)]


def ours(d: dict[str, Any], name: str, train: bool) -> Any:
    import ranvier as rv

    x = rv.from_numpy(d["x"]).requires_grad_(train)
    return step(x, getattr(rv.functional, name), rv.from_numpy(d["seed"]) if train else None)


def torchs(d: dict[str, Any], name: str, train: bool) -> Any:
    import torch

    x = torch.from_numpy(d["x"]).requires_grad_(train)
    functions = torch.nn.functional if name == "gelu" else torch
    return step(x, getattr(functions, name), torch.from_numpy(d["seed"]) if train else None)


def numpys(name: str) -> Callable[[dict[str, Any]], Any]:
    """NumPy's functions, and those of one line over them."""
    functions = {
        "relu": lambda x: np.maximum(x, 0),
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "tanh": np.tanh,
        "exp": np.exp,
        "log": np.log,
    }
    return lambda d: lambda: functions[name](d["x"])


def jaxs(name: str, train: bool) -> Callable[[dict[str, Any]], Any]:
    """JAX's functions."""

    def make(jax: Any) -> Callable[[Any], Any]:
        if name in ("exp", "log"):
            return getattr(jax.numpy, name)
        if name == "gelu":
            return lambda x: jax.nn.gelu(x, approximate=False)
        return getattr(jax.nn, name)

    return compiled(make, "x", gradients=train)


def step(x: Any, function: Callable[[Any], Any], seed: Any) -> Callable[[], Any]:
    def run() -> Any:
        if seed is None:
            return function(x)
        x.grad = None
        function(x).backward(seed)
        return x.grad

    return run


def row(name: str, shape: tuple[int, ...], train: bool) -> Row:
    def data(rng: np.random.Generator) -> dict[str, Any]:
        x = rng.standard_normal(shape, np.float32)
        return {
            "x": np.abs(x) + np.float32(0.1) if name == "log" else x,
            "seed": rng.standard_normal(shape, np.float32),
        }

    return Row(
        f"{name} {'x'.join(map(str, shape))} {'training' if train else 'forward'}",
        data,
        {
            "ranvier": lambda d: ours(d, name, train),
            "torch": lambda d: torchs(d, name, train),
            "jax": jaxs(name, train),
            **({} if train or name == "gelu" else {"numpy": numpys(name)}),
        },
        bytes=4.0 * np.prod(shape) * (5 if train else 2),
        compiles=shape == SHAPES[0],
    )


ROWS = [row(name, shape, train) for shape in SHAPES for name in NAMES for train in (False, True)]
