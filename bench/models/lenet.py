"""LeNet-5 on 32x32: a training step at batch 64."""

from __future__ import annotations

from typing import Any

from ranvier.bench.models._pairs import classification, training_row
from ranvier.bench.suite import Row


def our_model(activation: str) -> Any:
    import ranvier as rv

    return rv.models.get("lenet", activation=activation)


def torch_model(activation: str) -> Any:
    from torch import nn

    act = {"relu": nn.ReLU, "tanh": nn.Tanh}[activation]
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), act(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), act(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), act(), nn.Linear(120, 84), act(), nn.Linear(84, 10),
    )  # fmt: skip


def row(activation: str, n: int) -> Row:
    """A step at batch n."""
    return training_row(
        f"LeNet-5 {activation}, 32x32, batch {n}",
        classification((n, 1, 32, 32)),
        lambda: our_model(activation),
        lambda: torch_model(activation),
        images=True,
    )


ROWS = [row(activation, 64) for activation in ("relu", "tanh")]
