"""Layers of neurons: forward, and forward with all gradients, at the sizes of real networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ranvier.bench.ops._jax import compiled
from ranvier.bench.suite import Row

# samples, inputs, outputs, where from
SHAPES = [
    (64, 784, 256, "MLP 1"),
    (64, 256, 128, "MLP 2"),
    (64, 128, 10, "MLP 3"),
    (1, 784, 256, "MLP 1, one sample"),
    (64, 400, 120, "LeNet 1"),
    (64, 84, 10, "LeNet 3"),
    (32, 256, 1024, "recurrent gates"),
    (8, 4096, 4096, "AlexNet 2"),
    (256, 512, 512, "wide"),
    (1, 4096, 4096, "AlexNet 2, one sample"),
]


def ours(array: np.ndarray, gradient: bool) -> Any:
    import ranvier as rv

    tensor = rv.from_numpy(array)
    tensor.requires_grad = gradient
    return tensor


def torchs(array: np.ndarray, gradient: bool) -> Any:
    import torch

    return torch.from_numpy(array).requires_grad_(gradient)


def layer_of(tensor: Callable[..., Any]) -> Any:
    if tensor is ours:
        import ranvier.functional as F

        return F.linear
    import torch

    return torch.nn.functional.linear


def forward(tensor: Callable[..., Any]) -> Callable[[dict[str, Any]], Any]:
    def build(d: dict[str, Any]) -> Any:
        linear = layer_of(tensor)
        x, w, b = (tensor(d[k], False) for k in "xwb")
        return lambda: linear(x, w, b)

    return build


def training(tensor: Callable[..., Any]) -> Callable[[dict[str, Any]], Any]:
    """Forward and the gradients of x, w and b."""

    def build(d: dict[str, Any]) -> Any:
        linear = layer_of(tensor)
        x, w, b = (tensor(d[k], True) for k in "xwb")
        seed = tensor(d["seed"], False)

        def step() -> Any:
            x.grad = w.grad = b.grad = None
            linear(x, w, b).backward(seed)
            return [x.grad, w.grad, b.grad]

        return step

    return build


def row(samples: int, inputs: int, outputs: int, where: str, train: bool) -> Row:
    shapes = {
        "x": (samples, inputs),
        "w": (outputs, inputs),
        "b": (outputs,),
        "seed": (samples, outputs),
    }
    build = training if train else forward
    return Row(
        f"{samples}x{inputs}->{outputs} ({where}) {'training' if train else 'forward'}",
        lambda rng: {k: rng.standard_normal(s, np.float32) for k, s in shapes.items()},
        {
            "ranvier": build(ours),
            "torch": build(torchs),
            "jax": compiled(lambda _: lambda x, w, b: x @ w.T + b, *"xwb", gradients=train),
        },
        flops=2.0 * samples * inputs * outputs * (3 if train else 1),
        bytes=4.0 * sum(np.prod(s) for s in shapes.values()),
    )


ROWS = [row(*shape, train) for shape in SHAPES for train in (False, True)]
