"""A deep autoencoder 784-256-32-256-784: a training step at batch 64."""

from __future__ import annotations

from typing import Any

from ranvier.bench.models._pairs import classification, training_row

SIZES = (784, 256, 32)


def our_model() -> Any:
    import ranvier as rv

    return rv.models.get("autoencoder", sizes=SIZES)


def torch_model() -> Any:
    from torch import nn

    a, b, c = SIZES
    return nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, c),
                         nn.Linear(c, b), nn.ReLU(), nn.Linear(b, a))  # fmt: skip


def loss_of(functional: Any, model: Any, x: Any, _: Any) -> Any:
    """Squared error of the reconstruction."""
    return functional.mse_loss(model(x), x)


ROWS = [
    training_row("784-256-32, batch 64", classification((64, 784)), our_model, torch_model, loss_of)
]
