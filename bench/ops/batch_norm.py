"""Batch normalization in training: reads x twice and writes y; backward reads x and dy twice."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ranvier.bench.suite import Row

SHAPES = [(32, 64, 56, 56), (32, 64, 14, 14), (64, 512, 7, 7), (128, 1024)]


def data(shape: tuple[int, ...]) -> Any:
    """Physically channels-last images and upstream gradients; weight and bias."""

    def make(rng: np.random.Generator) -> dict[str, Any]:
        last = (shape[0], *shape[2:], shape[1])
        arrays = {k: rng.standard_normal(last, dtype=np.float32) for k in ("x", "dy")}
        arrays = {k: np.moveaxis(v, -1, 1) for k, v in arrays.items()}
        return arrays | {k: rng.standard_normal(shape[1], dtype=np.float32) for k in ("w", "b")}

    return make


def forward_ours(d: dict[str, Any]) -> Any:
    import ranvier as rv

    x, w, b = rv.from_numpy(d["x"]), rv.tensor(d["w"]), rv.tensor(d["b"])
    mean, var = rv.zeros(len(d["w"])), rv.ones(len(d["w"]))
    return lambda: rv.functional.batch_norm(x, mean, var, w, b, training=True)


def laid_out(array: np.ndarray, last: bool) -> Any:
    """The data are channels-last; PyTorch's default layout is a copy."""
    import torch

    tensor = torch.from_numpy(array)
    return tensor if last else tensor.contiguous()


def forward_torch(d: dict[str, Any], last: bool) -> Any:
    import torch

    x, w, b = laid_out(d["x"], last), torch.from_numpy(d["w"]), torch.from_numpy(d["b"])
    mean, var = torch.zeros(len(w)), torch.ones(len(w))
    return lambda: torch.nn.functional.batch_norm(x, mean, var, w, b, training=True)


def both_ours(d: dict[str, Any]) -> Any:
    import ranvier as rv

    x, dy = rv.from_numpy(d["x"]), rv.from_numpy(d["dy"])
    w, b = rv.tensor(d["w"], requires_grad=True), rv.tensor(d["b"], requires_grad=True)
    x.requires_grad = True
    return x, w, b, dy, lambda: rv.functional.batch_norm(x, None, None, w, b, training=True)


def both_torch(d: dict[str, Any], last: bool) -> Any:
    import torch

    x, dy = (laid_out(d[k], last) for k in ("x", "dy"))
    w, b = (torch.from_numpy(d[k]).requires_grad_() for k in ("w", "b"))
    x.requires_grad_()
    norm = torch.nn.functional.batch_norm
    return x, w, b, dy, lambda: norm(x, None, None, w, b, training=True)


def backward_only(both: Any) -> Any:
    """The gradients alone, over one forward pass that is kept."""

    def build(d: dict[str, Any]) -> Any:
        x, w, b, dy, forward = both(d)
        y = forward()

        def step() -> Any:
            x.grad = w.grad = b.grad = None
            y.backward(dy, retain_graph=True)
            return [x.grad, w.grad, b.grad]

        return step

    return build


def forward_and_backward(both: Any) -> Any:
    """A pass and its gradients."""

    def build(d: dict[str, Any]) -> Any:
        x, w, b, dy, forward = both(d)

        def step() -> Any:
            x.grad = w.grad = b.grad = None
            forward().backward(dy)
            return [x.grad, w.grad, b.grad]

        return step

    return build


def rows(shape: tuple[int, ...]) -> list[Row]:
    """Forward, forward with backward, and backward; PyTorch in both layouts where there are two."""
    name, size = "x".join(map(str, shape)), 4 * int(np.prod(shape))
    layouts = {"torch": False, "torch-channels_last": True} if len(shape) > 2 else {"torch": True}

    def peers(kind: Any, ours: Any, theirs: Any) -> dict[str, Any]:
        torchs = {p: kind(functools.partial(theirs, last=last)) for p, last in layouts.items()}
        return {"ranvier": kind(ours), **torchs}

    return [
        Row(
            f"{name} training forward",
            data(shape),
            peers(lambda f: f, forward_ours, forward_torch),
            bytes=3 * size,
            compiles=True,
        ),
        Row(
            f"{name} training forward and backward",
            data(shape),
            peers(forward_and_backward, both_ours, both_torch),
            bytes=8 * size,
            tolerance=1e-4,  # sums over a hundred thousand numbers
            compiles=True,
        ),
        Row(
            f"{name} training backward",
            data(shape),
            peers(backward_only, both_ours, both_torch),
            bytes=5 * size,
            tolerance=1e-4,  # sums over a hundred thousand numbers
        ),
    ]


ROWS = [row for shape in SHAPES for row in rows(shape)]
