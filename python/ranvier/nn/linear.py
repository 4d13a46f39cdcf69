"""Layers over feature vectors: Linear, Embedding, Flatten, Identity."""

from __future__ import annotations

import math
from typing import Any

from ranvier import functional as F
from ranvier.creation import empty
from ranvier.nn import init
from ranvier.nn.module import Module
from ranvier.nn.parameter import Parameter
from ranvier.tensor import Tensor


def positive(layer: str, **sizes: Any) -> None:
    """Checks that sizes given to a layer are whole numbers of at least 1."""
    for name, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"[{layer}] expected {name} to be a whole number, got {value!r}")
        if value < 1:
            raise ValueError(f"[{layer}] expected {name} of at least 1, got {value}")


class Linear(Module):
    """A fully connected layer: y = x W' + b.

    Weight and bias start from U(-b, b) with b = 1 / sqrt(in_features), as in PyTorch.

    Args:
        in_features: size of the last axis of x.
        out_features: number of units.
        bias: whether there is a b.

    Shapes:
        x (..., in_features) -> y (..., out_features); weight (out_features, in_features).

    Raises:
        ValueError: x of another last size.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        positive("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(empty(out_features, in_features))
        self.bias = Parameter(empty(out_features)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        init.layer_default_(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The outputs of all units."""
        if x.shape[-1:] != (self.in_features,):
            raise ValueError(self._misfit(x.shape))
        return F.linear(x, self.weight, self.bias)

    def _misfit(self, shape: tuple[int, ...]) -> str:
        out = self.out_features
        text = f"[linear] expected x of shape (..., {self.in_features}), got {shape} - "
        if len(shape) > 2 and math.prod(shape[1:]) == self.in_features:
            return text + "put Flatten() before this layer"
        return text + (f"did you mean Linear({shape[-1]}, {out})?" if shape else "x has no axis")

    def mult_adds(self, inputs: tuple[Any, ...], output: Any) -> int:
        """in_features per output element."""
        return output.size * self.in_features

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.in_features}, {self.out_features}" + (
            ", bias=False" if self.bias is None else ""
        )


class Embedding(Module):
    """A table of vectors, looked up by index. Entries start from N(0, 1).

    Args:
        num_embeddings: number of rows: the size of the vocabulary.
        embedding_dim: size of each vector.

    Shapes:
        indices (...) of an integer dtype -> (..., embedding_dim).

    Raises:
        IndexError: an index outside the table.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        positive("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = Parameter(empty(num_embeddings, embedding_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        init.normal_(self.weight)

    def forward(self, indices: Tensor) -> Tensor:
        """weight[indices]."""
        return F.embedding(indices, self.weight)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.num_embeddings}, {self.embedding_dim}"


class Flatten(Module):
    """Joins the axes `start_dim` to `end_dim` into one: (N, C, H, W) -> (N, C H W).

    Args:
        start_dim: first axis to join.
        end_dim: last axis to join.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        """The reshaped x."""
        return F.flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The axes, unless they are the usual ones."""
        usual = (self.start_dim, self.end_dim) == (1, -1)
        return "" if usual else f"{self.start_dim}, {self.end_dim}"


class Identity(Module):
    """Returns its input: a place where a layer may be put."""

    def forward(self, x: Any) -> Any:
        """The input."""
        return x
