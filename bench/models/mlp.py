"""A multilayer perceptron 784-256-128-10: training steps at batch 64 and 1."""

from __future__ import annotations

from typing import Any

from ranvier.bench.models._pairs import classification, training_row
from ranvier.bench.suite import Row

SIZES = (784, 256, 128, 10)


def our_model() -> Any:
    import ranvier as rv

    return rv.models.get("mlp", sizes=SIZES)


def torch_model() -> Any:
    from torch import nn

    a, b, c, d = SIZES
    return nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, c), nn.ReLU(), nn.Linear(c, d))


def row(n: int) -> Row:
    """A step at batch n."""
    return training_row(
        f"784-256-128-10, batch {n}", classification((n, 784)), our_model, torch_model
    )


ROWS = [row(n) for n in (64, 1)]
