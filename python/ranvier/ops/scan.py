"""Running sums and products along an axis.

    cumsum:   y_k = x_0 + ... + x_k        dx_i = g_i + ... + g_{n-1}
    cumprod:  y_k = x_0 x_1 ... x_k        dx_i = (x_0 ... x_{i-1}) s_i
                                           with s_i = g_i + x_{i+1} s_{i+1}

float32 is accumulated in float64, integers and bool in int64. The gradient of the product divides
by nothing, so zeros in x are right.

Source: Blelloch, "Prefix sums and their applications", Carnegie Mellon University (1990).
"""

from __future__ import annotations

from ranvier import _core
from ranvier.autograd import Function
from ranvier.tensor import Tensor, attach

Array = _core.Array


class _Cumsum(Function):
    autocast = "float32"

    def forward(self, x: Array, *, dim: int) -> Array:
        self.dim = dim
        return _core.scan(x, dim, False, False)

    def backward(self, grad: Array) -> Array:
        return _core.scan(grad, self.dim, False, True)


class _Cumprod(Function):
    autocast = "float32"

    def forward(self, x: Array, *, dim: int) -> Array:
        self.save(x)
        self.dim = dim
        return _core.scan(x, dim, True, False)

    def backward(self, grad: Array) -> Array:
        return _core.cumprod_backward(grad, self.saved[0], self.dim)


@attach("cumsum")
def cumsum(x: Tensor, dim: int) -> Tensor:
    """The running sum along an axis: y_k = x_0 + ... + x_k.

    Args:
        x: any shape; integers and bool are summed in int64.
        dim: the axis to run along.

    Raises:
        IndexError: no such axis.
        TypeError: half precision.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.cumsum(rv.tensor([1, 2, 3]), 0).tolist()
        [1, 3, 6]
    """
    return _Cumsum.apply(x, dim=dim)


@attach("cumprod")
def cumprod(x: Tensor, dim: int) -> Tensor:
    """The running product along an axis: y_k = x_0 x_1 ... x_k.

    Args:
        x: any shape; integers and bool are multiplied in int64.
        dim: the axis to run along.

    Raises:
        IndexError: no such axis.
        TypeError: half precision.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.cumprod(rv.tensor([2.0, 0.0, 3.0]), 0).tolist()
        [2.0, 0.0, 0.0]
    """
    return _Cumprod.apply(x, dim=dim)
