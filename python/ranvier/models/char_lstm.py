"""A character-level language model on an LSTM.

Source: Graves, "Generating sequences with recurrent neural networks", arXiv:1308.0850 (2013);
Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9 (1997).
"""

from __future__ import annotations

from typing import Any

from ranvier import nn
from ranvier.dtypes import int64
from ranvier.models.registry import register
from ranvier.tensor import Tensor


class CharLSTM(nn.Module):
    """Characters -> vectors -> LSTM -> scores of the next character.

    Args:
        vocabulary: number of characters.
        embedding: length of a character's vector.
        hidden: units of each LSTM layer.
        layers: LSTM layers.
        dropout: between the layers, while training.

    Shapes:
        characters (T, N) int64, state or None -> scores (T, N, vocabulary), state.
    """

    def __init__(
        self,
        vocabulary: int = 64,
        embedding: int = 64,
        hidden: int = 256,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        self.input_size = (64, 1)
        self.input_dtypes = (int64,)
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.lstm = nn.LSTM(embedding, hidden, num_layers=layers, dropout=dropout)
        self.output = nn.Linear(hidden, vocabulary)

    def forward(self, characters: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Scores of the character after each one, and the state after the last."""
        hidden, state = self.lstm(self.embedding(characters), state)
        return self.output(hidden), state


@register
def char_lstm(
    vocabulary: int = 64,
    embedding: int = 64,
    hidden: int = 256,
    layers: int = 1,
    dropout: float = 0.0,
) -> CharLSTM:
    """A character language model; see `CharLSTM`.

    Example:
        >>> import ranvier as rv
        >>> net = rv.models.get("char_lstm", vocabulary=20, hidden=32)
        >>> scores, state = net(rv.zeros(5, 2, dtype=rv.int64))
        >>> scores.shape
        (5, 2, 20)
    """
    return CharLSTM(vocabulary, embedding, hidden, layers, dropout)
