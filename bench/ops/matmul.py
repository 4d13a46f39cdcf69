"""Matrix products: cubes, small and skinny shapes, transposed operands, batches, a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ranvier.bench.ops._jax import compiled
from ranvier.bench.suite import Row

# M, N, K
SHAPES = [
    (64, 64, 64),
    (128, 128, 128),
    (256, 256, 256),
    (512, 512, 512),
    (1024, 1024, 1024),
    (2048, 2048, 2048),
    (257, 263, 259),  # odd
    (500, 500, 500),
    (64, 128, 784),
    (64, 10, 128),
    (32, 1024, 256),
    (3136, 64, 576),
    (196, 256, 2304),
    (49, 512, 4608),
    (1, 4096, 4096),
    (4096, 32, 32),
]


def ours(array: np.ndarray, gradient: bool = False) -> Any:
    import ranvier as rv

    tensor = rv.from_numpy(array)
    tensor.requires_grad = gradient
    return tensor


def torchs(array: np.ndarray, gradient: bool = False) -> Any:
    import torch

    return torch.from_numpy(array).requires_grad_(gradient)


def numpys(array: np.ndarray, gradient: bool = False) -> Any:
    return array


def product(tensor: Callable[..., Any]) -> Callable[[dict[str, Any]], Any]:
    """A @ B in the library of `tensor`."""

    def build(d: dict[str, Any]) -> Any:
        a, b = tensor(d["a"]), tensor(d["b"])
        return lambda: a @ b

    return build


def product_and_gradients(tensor: Callable[..., Any]) -> Callable[[dict[str, Any]], Any]:
    """A @ B, and both gradients."""

    def build(d: dict[str, Any]) -> Any:
        a, b, seed = tensor(d["a"], True), tensor(d["b"], True), tensor(d["seed"])

        def step() -> Any:
            a.grad = b.grad = None
            (a @ b).backward(seed)
            return [a.grad, b.grad]

        return step

    return build


def row(name: str, a: tuple[int, ...], b: tuple[int, ...], left: bool, right: bool) -> Row:
    """A row on random matrices; `left` and `right` say which lie in memory by columns."""

    def matrix(rng: np.random.Generator, shape: tuple[int, ...], columns: bool) -> np.ndarray:
        if columns:
            return rng.standard_normal((*shape[:-2], shape[-1], shape[-2]), np.float32).swapaxes(
                -1, -2
            )
        return rng.standard_normal(shape, np.float32)

    def data(rng: np.random.Generator) -> dict[str, Any]:
        return {"a": matrix(rng, a, left), "b": matrix(rng, b, right)}

    c = (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])
    return Row(
        name,
        data,
        {
            "ranvier": product(ours),
            "torch": product(torchs),
            "numpy": product(numpys),
            "jax": compiled(lambda _: lambda a, b: a @ b, "a", "b"),
        },
        flops=2.0 * np.prod(c) * a[-1],
        bytes=4.0 * (np.prod(a) + np.prod(b) + np.prod(c)),
    )


def gradients(m: int, n: int, k: int) -> Row:
    """Forward and both gradients."""

    def data(rng: np.random.Generator) -> dict[str, Any]:
        shapes = {"a": (m, k), "b": (k, n), "seed": (m, n)}
        return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}

    return Row(
        f"{m}x{n}x{k} and both gradients",
        data,
        {"ranvier": product_and_gradients(ours), "torch": product_and_gradients(torchs)},
        flops=6.0 * m * n * k,
    )


ROWS = [
    *(row(f"{m}x{n}x{k}", (m, k), (k, n), False, False) for m, n, k in SHAPES),
    *(
        row(f"{m}x{n}x{k} right transposed", (m, k), (k, n), False, True)
        for m, n, k in ((512, 512, 512), (64, 128, 784), (1, 4096, 4096))
    ),
    *(
        row(f"{m}x{n}x{k} left transposed", (m, k), (k, n), True, False)
        for m, n, k in ((512, 512, 512), (128, 784, 64))
    ),
    row("batch 64 of 32x32x32", (64, 32, 32), (64, 32, 32), False, False),
    row("batch 8 of 128x128x64", (8, 128, 64), (8, 64, 128), False, False),
    gradients(256, 256, 256),
]
