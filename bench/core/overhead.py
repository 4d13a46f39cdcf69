"""What an operation costs besides its arithmetic: eager calls on tiny tensors, and replay."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier.bench.suite import Row

OPS = 60


def tiny(rng: np.random.Generator) -> dict[str, Any]:
    """Two 4x4 arrays."""
    return {k: rng.standard_normal((4, 4), dtype=np.float32) for k in "xy"}


def add_ours(d: dict[str, Any]) -> Any:
    """A public a + b with all checks and a gradient node."""
    import ranvier as rv

    x, y = rv.tensor(d["x"], requires_grad=True), rv.tensor(d["y"])
    return lambda: x + y


def add_torch(d: dict[str, Any]) -> Any:
    import torch

    x, y = torch.tensor(d["x"], requires_grad=True), torch.tensor(d["y"])
    return lambda: x + y


def add_numpy(d: dict[str, Any]) -> Any:
    x, y = d["x"], d["y"]
    return lambda: x + y


def chain(x: Any, y: Any, seed: Any) -> Any:
    """60 operations forward, then backward; the gradient of x starts anew."""

    def step() -> Any:
        x.grad = None
        z = x
        for _ in range(OPS // 2):
            z = z * y + y
        z.backward(seed)
        return x.grad

    return step


def chain_ours(d: dict[str, Any]) -> Any:
    import ranvier as rv

    y = rv.tensor(np.tanh(d["y"]))
    return chain(rv.tensor(d["x"], requires_grad=True), y, y)


def chain_torch(d: dict[str, Any]) -> Any:
    import torch

    y = torch.tensor(np.tanh(d["y"]))
    return chain(torch.tensor(d["x"], requires_grad=True), y, y)


def chain_captured(d: dict[str, Any]) -> Any:
    import ranvier as rv

    y = rv.tensor(np.tanh(d["y"]))
    return rv.capture(chain(rv.tensor(d["x"], requires_grad=True), y, y))


ROWS = [
    Row(
        "a + b with a gradient node",
        tiny,
        {"ranvier": add_ours, "torch": add_torch, "numpy": add_numpy},
    ),
    Row(
        f"{OPS} ops forward and backward, per op",
        tiny,
        {"ranvier": chain_ours, "torch": chain_torch},
        per=OPS,
    ),
    Row(
        f"{OPS} ops forward and backward, captured, per op",
        tiny,
        {"ranvier": chain_captured, "torch": chain_torch},
        per=OPS,
    ),
]
