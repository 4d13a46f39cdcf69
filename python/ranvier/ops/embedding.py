"""Embedding: a table of vectors, looked up by index.

Source: Bengio, Ducharme, Vincent and Jauvin, "A neural probabilistic language model", JMLR 3
(2003), section 2.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.tensor import Tensor

Array = _core.Array


class _Embedding(Function):
    def forward(self, input: Array, weight: Array) -> Array:
        y = _core.embedding(input, weight)
        self.save(input)
        self.shape = weight.shape
        return y

    def backward(self, grad: Array) -> Any:
        (input,) = self.saved
        return None, _core.embedding_backward(grad, input, self.shape)


def embedding(input: Tensor, weight: Tensor) -> Tensor:
    """Rows of a table: y[..., :] = weight[input[...], :].

    That equals the product of one-hot vectors with the table. The gradient of a row is the sum
    over all places that looked it up, added in row-major order.

    Args:
        input: indices from 0 to V - 1, any shape, int64 or int32.
        weight: (V, D), one vector a row.

    Returns:
        The shape of `input` with D added.

    Raises:
        IndexError: an index outside the table, which is named.
        TypeError: indices that are not integers.

    Example:
        >>> import ranvier as rv
        >>> table = rv.tensor([[0.0, 0.0], [1.0, 2.0]])
        >>> rv.functional.embedding(rv.tensor([1, 0, 1]), table).tolist()
        [[1.0, 2.0], [0.0, 0.0], [1.0, 2.0]]
    """
    return _Embedding.apply(input, weight)
