"""LSTM layers over whole sequences, forward and training, at the sizes of real networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ranvier.bench.suite import Row

# steps, samples, inputs, units, where from
SHAPES = [
    (64, 32, 128, 256, "character model"),
    (32, 64, 512, 512, "language model"),
    (200, 16, 32, 64, "long and narrow"),
    (100, 1, 64, 128, "one sample"),
]
KINDS = {"lstm": 4, "gru": 3, "rnn": 1}
WEIGHTS = ("w_ih", "w_hh", "b_ih", "b_hh")


def numbers(
    steps: int, samples: int, inputs: int, units: int, kind: str
) -> Callable[[np.random.Generator], dict[str, Any]]:
    """x, the four parameters in PyTorch's layout, and an upstream gradient."""
    rows = KINDS[kind] * units

    def data(rng: np.random.Generator) -> dict[str, Any]:
        def draw(*shape: int, scale: float = 1.0) -> np.ndarray:
            return scale * rng.standard_normal(shape, np.float32)

        scale = np.float32(units**-0.5)
        return {
            "x": draw(steps, samples, inputs),
            "w_ih": draw(rows, inputs, scale=scale),
            "w_hh": draw(rows, units, scale=scale),
            "b_ih": draw(rows, scale=scale),
            "b_hh": draw(rows, scale=scale),
            "seed": draw(steps, samples, units),
        }

    return data


def ours(kind: str, train: bool) -> Callable[[dict[str, Any]], Any]:
    def build(d: dict[str, Any]) -> Any:
        import ranvier as rv
        import ranvier.functional as F

        layer = getattr(F, kind)
        x = rv.from_numpy(d["x"]).requires_grad_(train)
        weights = [rv.from_numpy(d[k]).requires_grad_(train) for k in WEIGHTS]
        seed = rv.from_numpy(d["seed"])
        if not train:
            return lambda: layer(x, None, *weights)[0]

        def step() -> Any:
            leaves = [x, *weights]
            for leaf in leaves:
                leaf.grad = None
            layer(x, None, *weights)[0].backward(seed)
            return [leaf.grad for leaf in leaves]

        return step

    return build


def torchs(kind: str, train: bool) -> Callable[[dict[str, Any]], Any]:
    def build(d: dict[str, Any]) -> Any:
        import torch

        x = torch.from_numpy(d["x"]).requires_grad_(train)
        module = getattr(torch.nn, kind.upper())(x.shape[2], d["w_hh"].shape[1])
        with torch.no_grad():
            for p, k in zip(module.parameters(), WEIGHTS, strict=True):
                p.copy_(torch.from_numpy(d[k]))
        seed = torch.from_numpy(d["seed"])
        if not train:

            def forward() -> Any:
                with torch.no_grad():
                    return module(x)[0]

            return forward

        def step() -> Any:
            leaves = [x, *module.parameters()]
            for leaf in leaves:
                leaf.grad = None
            module(x)[0].backward(seed)
            return [leaf.grad for leaf in leaves]

        return step

    return build


def row_of(
    kind: str, steps: int, samples: int, inputs: int, units: int, where: str, train: bool
) -> Row:
    """One layer, forward or training."""
    work = 2.0 * steps * samples * KINDS[kind] * units * (inputs + units)
    return Row(
        f"T{steps} B{samples} I{inputs} H{units} ({where}) {'training' if train else 'forward'}",
        numbers(steps, samples, inputs, units, kind),
        {"ranvier": ours(kind, train), "torch": torchs(kind, train)},
        flops=work * (3 if train else 1),
        tolerance=1e-4,
    )


def rows_of(kind: str) -> list[Row]:
    """Forward and training of every shape."""
    return [row_of(kind, *shape, train) for shape in SHAPES for train in (False, True)]


ROWS = rows_of("lstm")
