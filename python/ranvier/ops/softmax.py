"""Softmax and its logarithm.

    softmax(x)_i = exp(x_i) / sum_j exp(x_j)

computed after subtracting the largest x, so that nothing overflows. An IndexError names an axis
that is not there, a TypeError what is not floating.

Source: Bridle, "Probabilistic interpretation of feedforward classification network outputs, with
relationships to statistical pattern recognition", Neurocomputing (1990).
"""

from __future__ import annotations

from ranvier import _core
from ranvier.autograd import Function
from ranvier.tensor import Tensor, attach, check_tensors

Array = _core.Array


class _Softmax(Function):
    autocast = "float32"

    def forward(self, x: Array, *, dim: int, log: bool) -> Array:
        y = _core.softmax(x, dim, log)
        self.save(y)
        self.dim, self.log = dim, log
        return y

    def backward(self, grad: Array) -> Array:
        (y,) = self.saved
        return _core.softmax_backward(grad, y, self.dim, self.log)


@attach()
def softmax(x: Tensor, dim: int = -1) -> Tensor:
    """Probabilities along one axis: y_i = exp(x_i) / sum_j exp(x_j).

    dL/dx_i = y_i (g_i - sum_j g_j y_j).

    Args:
        x: scores, any shape.
        dim: the axis whose elements compete.

    Raises:
        IndexError: no such axis.
        TypeError: not floating.

    Example:
        >>> import ranvier as rv
        >>> y = rv.functional.softmax(rv.tensor([-3.44, 1.16, -0.81, 3.91]))
        >>> [round(v, 4) for v in y.tolist()]
        [0.0006, 0.0596, 0.0083, 0.9315]
    """
    return _Softmax.apply(x, dim=dim, log=False)


@attach()
def log_softmax(x: Tensor, dim: int = -1) -> Tensor:
    """Logarithms of the softmax probabilities: y_i = x_i - log sum_j exp(x_j).

    dL/dx_i = g_i - exp(y_i) sum_j g_j. One formula, because the logarithm of a softmax that
    underflowed would be minus infinity.

    Args:
        x: scores, any shape.
        dim: the axis whose elements compete.

    Example:
        >>> import ranvier as rv
        >>> y = rv.functional.log_softmax(rv.tensor([0.0, 1000.0]))
        >>> y.tolist()
        [-1000.0, 0.0]
    """
    return _Softmax.apply(x, dim=dim, log=True)


@attach()
def softmin(x: Tensor, dim: int = -1) -> Tensor:
    """Probabilities that favour the smallest: the softmax of -x.

    Args:
        x: any shape.
        dim: the axis whose elements compete.
    """
    check_tensors(x)
    return softmax(-x, dim)
