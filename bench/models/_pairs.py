"""Whole training steps of one network in ranvier and in PyTorch, from the same weights.

A step is: forward, cross-entropy, backward, Adam (PyTorch's fused form), gradients to None. Timed
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


def _cross_entropy(functional: Any, model: Any, x: Any, y: Any) -> Any:
    return functional.cross_entropy(model(x), y)


# What a step minimizes: of the library's `functional`, the model, and the data.
Loss = Callable[[Any, Any, Any, Any], Any]


def ours(
    build: Callable[[], Any], captured: bool, loss_of: Loss = _cross_entropy
) -> Callable[[dict[str, Any]], Any]:
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
            loss = loss_of(F, model, x, y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss

        run = rv.capture(step) if captured else step
        return lambda: run(x, y)

    return make


def theirs(
    build: Callable[[], Any],
    compiled: bool,
    loss_of: Loss = _cross_entropy,
    channels_last: bool = False,
) -> Callable[[dict[str, Any]], Any]:
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
        if channels_last:
            model = model.to(memory_format=torch.channels_last)
            x = x.to(memory_format=torch.channels_last)
        forward = torch.compile(model) if compiled else model

        def step() -> Any:
            loss = loss_of(torch.nn.functional, forward, x, y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss

        return step

    return make


def training_row(
    name: str,
    data: Callable[..., dict[str, Any]],
    our_model: Callable[[], Any],
    torch_model: Callable[[], Any],
    loss_of: Loss = _cross_entropy,
    images: bool = False,
    tolerance: float = 1e-3,
) -> Row:
    """One row: the same network, batch and optimizer everywhere. The loss is compared.

    With `images`, PyTorch also runs with its tensors in channels_last.
    """
    peers = {
        "ranvier": ours(our_model, True, loss_of),
        "ranvier-eager": ours(our_model, False, loss_of),
        "torch": theirs(torch_model, False, loss_of),
        "compile": theirs(torch_model, True, loss_of),
    }
    if images:
        peers["torch-channels_last"] = theirs(torch_model, False, loss_of, channels_last=True)
    return Row(name, data, peers, tolerance=tolerance)
