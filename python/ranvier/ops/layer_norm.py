"""Layer normalization: each sample by the mean and variance of its own last axes.

Source: Ba, Kiros and Hinton, "Layer normalization" (2016), arXiv:1607.06450.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._arguments import real, sizes
from ranvier.tensor import Tensor

Array = _core.Array


class _LayerNorm(Function):
    autocast = "float32"

    def forward(
        self, x: Array, weight: Any, bias: Any, *, shape: tuple[int, ...], eps: float
    ) -> Array:
        y, mean, invstd = _core.layer_norm(x, shape, weight, bias, eps)
        self.save(x, weight, mean, invstd)
        self.shape = shape
        return y

    def backward(self, grad: Array) -> Any:
        x, weight, mean, invstd = self.saved
        want_x, want_weight, want_bias = self.needs
        dx, dweight, dbias = _core.layer_norm_backward(
            grad, x, weight, mean, invstd, self.shape, want_weight or want_bias
        )
        return (
            dx if want_x else None,
            dweight if want_weight else None,
            dbias if want_bias else None,
        )


def layer_norm(
    x: Tensor,
    normalized_shape: int | tuple[int, ...],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalizes over the last axes: y = (x - mean) / sqrt(variance + eps) * weight + bias.

    Args:
        x: ``(..., *normalized_shape)``, floating.
        normalized_shape: sizes of the axes that share a mean and a variance.
        weight: factor of each element of normalized_shape, or None for 1.
        bias: added to each element of normalized_shape, or None for 0.
        eps: keeps the root away from zero.

    Raises:
        ValueError: x, weight or bias do not end in normalized_shape.
        TypeError: x is not floating, or the dtypes differ.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.layer_norm(rv.tensor([[1.0, 3.0], [10.0, 30.0]]), 2, eps=0.0).tolist()
        [[-1.0, 1.0], [-1.0, 1.0]]
    """
    shape = sizes("normalized_shape", normalized_shape)
    return _LayerNorm.apply(x, weight, bias, shape=shape, eps=real("eps", eps))
