"""Cross-entropy from logits, value and gradient: classifiers, a vocabulary, a segmentation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier.bench.suite import Row

SHAPES = [(64, 10), (256, 10), (1024, 1000), (2048, 64), (4, 21, 96, 96)]


def data(shape: tuple[int, ...]) -> Any:
    return lambda rng: {
        "x": rng.standard_normal(shape, np.float32),
        "t": rng.integers(0, shape[1], (shape[0], *shape[2:])),
    }


def ours(d: dict[str, Any]) -> Any:
    import ranvier as rv

    x, t = rv.tensor(d["x"], requires_grad=True), rv.tensor(d["t"])

    def step() -> Any:
        x.grad = None
        loss = rv.functional.cross_entropy(x, t)
        loss.backward()
        return [loss, x.grad]

    return step


def torchs(d: dict[str, Any]) -> Any:
    import torch

    x, t = torch.tensor(d["x"], requires_grad=True), torch.tensor(d["t"])

    def step() -> Any:
        x.grad = None
        loss = torch.nn.functional.cross_entropy(x, t)
        loss.backward()
        return [loss, x.grad]

    return step


ROWS = [
    Row(
        f"{'x'.join(map(str, shape))} forward + backward",
        data(shape),
        {"ranvier": ours, "torch": torchs},
        bytes=8.0 * np.prod(shape),
        compiles=True,
    )
    for shape in SHAPES
]
