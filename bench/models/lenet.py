"""LeNet-5 on 32x32: a training step at batch 64."""

from __future__ import annotations

from typing import Any

from ranvier.bench.models._pairs import classification, training_row


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


ROWS = [
    training_row(
        f"LeNet-5 {a}, 32x32, batch 64",
        classification((64, 1, 32, 32)),
        lambda a=a: our_model(a),
        lambda a=a: torch_model(a),
    )
    for a in ("relu", "tanh")
]
