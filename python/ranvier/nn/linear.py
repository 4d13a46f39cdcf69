"""Layers over feature vectors: Linear, Bilinear, Embedding, Flatten, Identity."""

from __future__ import annotations

import math
from typing import Any

from ranvier import functional as F
from ranvier.autograd import no_grad
from ranvier.creation import empty
from ranvier.nn import init
from ranvier.nn.module import Module
from ranvier.nn.parameter import Parameter
from ranvier.tensor import Tensor


def positive(layer: str, **sizes: Any) -> None:
    """Checks that sizes given to a layer are whole numbers of at least 1."""
    for name, value in sizes.items():
        if isinstance(value, bool) or not hasattr(value, "__index__"):
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


class Bilinear(Module):
    """A number from two vectors for each unit: y_k = x1' W_k x2 + b_k.

    Weight and bias start from U(-b, b) with b = 1 / sqrt(in1_features), as in PyTorch.

    Args:
        in1_features: size of the last axis of x1.
        in2_features: size of the last axis of x2.
        out_features: number of units.
        bias: whether there is a b.

    Shapes:
        x1 (..., in1_features), x2 (..., in2_features) -> y (..., out_features); weight
        (out_features, in1_features, in2_features).

    Raises:
        ValueError: x1 or x2 of another last size, or of different leading axes.
    """

    def __init__(
        self, in1_features: int, in2_features: int, out_features: int, bias: bool = True
    ) -> None:
        sizes = {"in1_features": in1_features, "in2_features": in2_features}
        positive("Bilinear", **sizes, out_features=out_features)
        self.in1_features, self.in2_features = in1_features, in2_features
        self.out_features = out_features
        self.weight = Parameter(empty(out_features, in1_features, in2_features))
        self.bias = Parameter(empty(out_features)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        bound = 1.0 / math.sqrt(self.in1_features)
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                init.uniform_(parameter, -bound, bound)

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The outputs of all units."""
        return F.bilinear(x1, x2, self.weight, self.bias)

    def mult_adds(self, inputs: tuple[Any, ...], output: Any) -> int:
        """A product of a matrix and a vector, and one of two vectors, per output element."""
        return output.size * self.in2_features * (self.in1_features + 1)

    def extra_repr(self) -> str:
        """The sizes."""
        sizes = f"{self.in1_features}, {self.in2_features}, {self.out_features}"
        return sizes + (", bias=False" if self.bias is None else "")


class Embedding(Module):
    """A table of vectors, looked up by index. Entries start from N(0, 1).

    Args:
        num_embeddings: number of rows: the size of the vocabulary.
        embedding_dim: size of each vector.
        padding_idx: an index whose row starts as zeros and learns nothing.

    Shapes:
        indices (...) of an integer dtype -> (..., embedding_dim).

    Raises:
        IndexError: an index outside the table.
        ValueError: a padding_idx outside the table.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None
    ) -> None:
        positive("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        if padding_idx is not None and not isinstance(padding_idx, int):
            raise TypeError(f"[Embedding] expected padding_idx as an index, got {padding_idx!r}")
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(
                f"[Embedding] expected padding_idx within the {num_embeddings} rows, got "
                f"{padding_idx}"
            )
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(empty(num_embeddings, embedding_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None
    ) -> Embedding:
        """A layer around a given table (V, D).

        Args:
            embeddings: the table; its memory is shared.
            freeze: whether it does not learn.
            padding_idx: a row that gets no gradient.
        """
        if embeddings.ndim != 2:
            raise ValueError(f"[Embedding] expected a table (V, D), got shape {embeddings.shape}")
        rows, size = embeddings.shape
        layer = cls(rows, size, padding_idx)
        layer.weight = Parameter(embeddings.detach(), requires_grad=not freeze)
        return layer

    def forward(self, indices: Tensor) -> Tensor:
        """weight[indices]."""
        options = self._read_options(("padding_idx",))
        return F.embedding(indices, self.weight, **options)

    def extra_repr(self) -> str:
        """The sizes."""
        sizes = f"{self.num_embeddings}, {self.embedding_dim}"
        return sizes if self.padding_idx is None else f"{sizes}, padding_idx={self.padding_idx}"


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
    """Returns its input: a place where a layer may be put; what it is built with is ignored."""

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    def forward(self, x: Any) -> Any:
        """The input."""
        return x


class Unflatten(Module):
    """Cuts an axis into several: (N, C H W) -> (N, C, H, W).

    Args:
        dim: the axis.
        unflattened_size: the new sizes, of which one may be -1.
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        if not isinstance(unflattened_size, tuple | list):
            raise TypeError(f"[Unflatten] expected a tuple of sizes, got {unflattened_size!r}")
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        """The reshaped x."""
        return F.unflatten(x, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """The axis and its new sizes."""
        return f"{self.dim}, {self.unflattened_size}"
