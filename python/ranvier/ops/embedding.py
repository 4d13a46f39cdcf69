"""Embedding: a table of vectors, looked up by index.

Source: Bengio, Ducharme, Vincent and Jauvin, "A neural probabilistic language model", JMLR 3
(2003), section 2.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.tensor import Tensor, check_tensors

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


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of a table: y[..., :] = weight[input[...], :].

    That equals the product of one-hot vectors with the table. The gradient of a row is the sum
    over all places that looked it up, added in row-major order.

    Args:
        input: indices from 0 to V - 1, any shape, int64 or int32.
        weight: (V, D), one vector a row.
        padding_idx: an index whose row gets no gradient.

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
    y = _Embedding.apply(input, weight)
    if padding_idx is None:
        return y
    check_tensors(weight)
    rows = weight.shape[0]
    if not -rows <= padding_idx < rows:
        raise IndexError(
            f"[embedding] expected padding_idx within the {rows} rows, got {padding_idx}"
        )
    padded: Any = input == padding_idx % rows
    return y.detach().where(padded.unsqueeze(-1), y)
