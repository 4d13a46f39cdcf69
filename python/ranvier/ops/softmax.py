"""Softmax and its logarithm: real numbers turned into probabilities.

Source: Bridle, "Probabilistic interpretation of feedforward classification network outputs"
(1990); Goodfellow, Bengio and Courville, Deep Learning (2016), section 6.2.2.3.
"""

from __future__ import annotations

from ranvier import _core
from ranvier.autograd import Function
from ranvier.tensor import Tensor, attach

Array = _core.Array


class _Softmax(Function):
    def forward(self, x: Array, *, dim: int, log: bool) -> Array:
        y = _core.softmax(x, dim, log)
        self.save(y)
        self.dim, self.log = dim, log
        return y

    def backward(self, grad: Array) -> Array:
        (y,) = self.saved
        return _core.softmax_backward(grad, y, self.dim, self.log)


@attach("softmax")
def softmax(x: Tensor, dim: int = -1) -> Tensor:
    """Probabilities y_i = exp(x_i) / sum_j exp(x_j) along `dim`.

    All x_i are shifted by their maximum first, which changes nothing and cannot overflow. The
    gradient is dL/dx_i = y_i (g_i - sum_j g_j y_j).

    Args:
        x: any shape, floating.
        dim: the axis whose elements become probabilities.

    Example:
        >>> import ranvier as rv
        >>> y = rv.functional.softmax(rv.tensor([-3.44, 1.16, -0.81, 3.91]))
        >>> [round(v, 4) for v in y.tolist()]
        [0.0006, 0.0596, 0.0083, 0.9315]
    """
    return _Softmax.apply(x, dim=dim, log=False)


@attach("log_softmax")
def log_softmax(x: Tensor, dim: int = -1) -> Tensor:
    """Log-probabilities y_i = x_i - log sum_j exp(x_j) along `dim`, without underflow.

    The gradient is dL/dx_i = g_i - exp(y_i) sum_j g_j.

    Args:
        x: any shape, floating.
        dim: the axis whose elements become log-probabilities.
    """
    return _Softmax.apply(x, dim=dim, log=True)
