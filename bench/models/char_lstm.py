"""A character language model, V64 E64 H256: a training step of 64 characters at batch 32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ranvier.bench.models._pairs import training_row
from ranvier.bench.suite import Row


def our_model() -> Any:
    import ranvier as rv

    return rv.models.get("char_lstm", vocabulary=64, embedding=64, hidden=256)


def torch_model() -> Any:
    from torch import nn

    class CharLSTM(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(64, 64)
            self.lstm = nn.LSTM(64, 256)
            self.output = nn.Linear(256, 64)

        def forward(self, characters: Any) -> Any:
            hidden, state = self.lstm(self.embedding(characters))
            return self.output(hidden), state

    return CharLSTM()


def data(batch: int) -> Callable[..., dict[str, Any]]:
    """Characters and the ones that follow them."""

    def make(rng: np.random.Generator) -> dict[str, Any]:
        text = rng.integers(0, 64, (65, batch))
        return {"x": text[:-1], "y": text[1:], "seed": int(rng.integers(1 << 30))}

    return make


def loss_of(functional: Any, model: Any, x: Any, y: Any) -> Any:
    """Cross-entropy of the next character."""
    scores, _ = model(x)
    return functional.cross_entropy(scores.reshape(-1, 64), y.reshape(-1))


def row(n: int) -> Row:
    """A step at batch n."""
    return training_row(f"V64 E64 H256, T64, batch {n}", data(n), our_model, torch_model, loss_of)


ROWS = [row(32)]
