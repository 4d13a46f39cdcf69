"""Cross-entropy from logits: the loss, and the loss with its gradient, for classes and pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier.bench.suite import Row

# shape of the logits, where from
CASES = [
    ((64, 10), "digits"),
    ((256, 1000), "ImageNet classes"),
    ((64, 50000), "a vocabulary"),
    ((4, 21, 128, 128), "segmentation"),
]


def data(shape: tuple[int, ...]) -> Any:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        return {
            "x": rng.standard_normal(shape, np.float32),
            "y": rng.integers(0, shape[1], (shape[0], *shape[2:])),
        }

    return draw


def step(x: Any, y: Any, loss: Any, train: bool) -> Any:
    def run() -> Any:
        if not train:
            return loss(x, y)
        x.grad = None
        loss(x, y).backward()
        return x.grad

    return run


def ours(d: dict[str, Any], train: bool) -> Any:
    import ranvier as rv

    x, y = rv.from_numpy(d["x"]).requires_grad_(train), rv.from_numpy(d["y"])
    return step(x, y, rv.functional.cross_entropy, train)


def torchs(d: dict[str, Any], train: bool) -> Any:
    import torch

    x, y = torch.from_numpy(d["x"]).requires_grad_(train), torch.from_numpy(d["y"])
    return step(x, y, torch.nn.functional.cross_entropy, train)


def row(shape: tuple[int, ...], where: str, train: bool) -> Row:
    return Row(
        f"{'x'.join(map(str, shape))} ({where}) {'training' if train else 'forward'}",
        data(shape),
        {"ranvier": lambda d: ours(d, train), "torch": lambda d: torchs(d, train)},
        bytes=4.0 * np.prod(shape) * (2 if train else 1),
    )


ROWS = [row(*case, train) for case in CASES for train in (False, True)]
