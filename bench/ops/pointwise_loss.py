"""Losses of each element against its target, value and gradient: reconstructions and masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier.bench.suite import Row

NAMES = ("mse_loss", "l1_loss", "smooth_l1_loss", "binary_cross_entropy_with_logits")
SHAPES = [(64, 784), (16, 3, 128, 128)]


def data(shape: tuple[int, ...]) -> Any:
    return lambda rng: {
        "x": rng.standard_normal(shape, np.float32),
        "t": rng.random(shape, np.float32),
    }


def step(x: Any, t: Any, function: Any) -> Any:
    def run() -> Any:
        x.grad = None
        loss = function(x, t)
        loss.backward()
        return [loss, x.grad]

    return run


def ours(d: dict[str, Any], name: str) -> Any:
    import ranvier as rv

    x, t = rv.tensor(d["x"], requires_grad=True), rv.tensor(d["t"])
    return step(x, t, getattr(rv.functional, name))


def torchs(d: dict[str, Any], name: str) -> Any:
    import torch

    x, t = torch.tensor(d["x"], requires_grad=True), torch.tensor(d["t"])
    return step(x, t, getattr(torch.nn.functional, name))


def row(name: str, shape: tuple[int, ...]) -> Row:
    return Row(
        f"{name} {'x'.join(map(str, shape))} forward + backward",
        data(shape),
        {"ranvier": lambda d: ours(d, name), "torch": lambda d: torchs(d, name)},
        bytes=4.0 * np.prod(shape) * 6,
        compiles=shape == SHAPES[1],
    )


ROWS = [row(name, shape) for shape in SHAPES for name in NAMES]
