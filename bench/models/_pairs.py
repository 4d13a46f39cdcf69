"""Whole training steps of one network in ranvier and in PyTorch, from the same weights.

A step is: gradients to None, forward, cross-entropy, backward, Adam (PyTorch's fused form). Timed
are our captured step ("ranvier"), our eager one ("ranvier-eager"), PyTorch eager ("torch"), and
`torch.compile` ("compile"), asked for by `--peers torch,compile`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ranvier.bench.suite import Row

CLASSES = 10


def classification(shape: tuple[int, ...], classes: int = CLASSES) -> Callable[..., dict[str, Any]]:
    """Random inputs of this shape (batch first), random labels, and a seed for the weights."""

    def data(rng: np.random.Generator) -> dict[str, Any]:
        return {
            "x": rng.standard_normal(shape, dtype=np.float32),
            "y": rng.integers(0, classes, shape[0]),
            "seed": int(rng.integers(1 << 30)),
        }

    return data


def _weights(shapes: list[tuple[int, ...]], seed: int) -> list[np.ndarray]:
    """Uniform in +-1/sqrt(fan_in): the same numbers for every library."""
    rng = np.random.default_rng(seed)
    result = []
    for shape in shapes:
        bound = 1 / np.sqrt(max(1, int(np.prod(shape[1:]))))
        result.append(rng.uniform(-bound, bound, shape).astype(np.float32))
    return result


def ours(build: Callable[[], Any], captured: bool) -> Callable[[dict[str, Any]], Any]:
    """Our step; `build` makes the model."""

    def make(d: dict[str, Any]) -> Any:
        import ranvier as rv
        from ranvier import functional as F

        model = build()
        parameters = list(model.parameters())
        with rv.no_grad():
            for p, w in zip(
                parameters, _weights([p.shape for p in parameters], d["seed"]), strict=True
            ):
                p.copy_(rv.tensor(w))
        optimizer = rv.optim.Adam(parameters, lr=1e-3)
        x, y = rv.tensor(d["x"]), rv.tensor(d["y"])

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        run = rv.capture(step) if captured else step
        return lambda: run(x, y)

    return make


def theirs(build: Callable[[], Any], compiled: bool) -> Callable[[dict[str, Any]], Any]:
    """PyTorch's step; `build` makes the model."""

    def make(d: dict[str, Any]) -> Any:
        import torch

        model = build()
        parameters = list(model.parameters())
        with torch.no_grad():
            for p, w in zip(
                parameters, _weights([tuple(p.shape) for p in parameters], d["seed"]), strict=True
            ):
                p.copy_(torch.tensor(w))
        optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)
        x, y = torch.tensor(d["x"]), torch.tensor(d["y"])
        forward = torch.compile(model) if compiled else model

        def step() -> Any:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(forward(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return step

    return make


def training_row(
    name: str,
    shape: tuple[int, ...],
    our_model: Callable[[], Any],
    torch_model: Callable[[], Any],
) -> Row:
    """One row: the same network, batch and optimizer everywhere. The loss is compared."""
    return Row(
        name,
        classification(shape),
        {
            "ranvier": ours(our_model, captured=True),
            "ranvier-eager": ours(our_model, captured=False),
            "torch": theirs(torch_model, compiled=False),
            "compile": theirs(torch_model, compiled=True),
        },
        tolerance=1e-3,
    )
