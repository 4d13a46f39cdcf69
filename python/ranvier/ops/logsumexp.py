"""The logarithm of a sum of exponentials, a smooth maximum.

    y = log sum_i exp(x_i) = m + log sum_i exp(x_i - m),  m = max_i x_i

so that nothing overflows; dL/dx_i = g exp(x_i - y), which is the softmax of x.

Source: Blanchard, Higham and Higham, "Accurately computing the log-sum-exp and softmax functions",
IMA Journal of Numerical Analysis 41 (2021).
"""

from __future__ import annotations

from ranvier import _core
from ranvier.autograd import Function
from ranvier.tensor import Tensor, attach, check_tensors

Array = _core.Array
Dim = int | tuple[int, ...] | list[int] | None


class _LogSumExp(Function):
    autocast = "float32"

    def forward(self, x: Array, *, dim: Dim) -> Array:
        if x.size:
            top = _core.max(x, dim, True)
            top = _core.where(_core.isfinite(top), top, 0.0)  # inf - inf would be NaN
            total = _core.sum(_core.exp(_core.subtract(x, top)), dim, True)
            y = _core.add(_core.log(total), top)
        else:
            y = _core.log(_core.sum(x, dim, True))
        self.save(x, y)
        return y

    def backward(self, grad: Array) -> Array:
        x, y = self.saved
        y = _core.where(_core.equal(y, -float("inf")), 0.0, y)  # there each exp(x) is 0 by itself
        return _core.multiply(_core.exp(_core.subtract(x, y)), grad)


@attach("logsumexp")
def logsumexp(x: Tensor, dim: Dim, keepdim: bool = False) -> Tensor:
    """log sum_i exp(x_i) along `dim`; -inf for no elements.

    Args:
        x: any shape, floating.
        dim: an axis, several, or None for all.
        keepdim: keep the reduced axes with size 1.

    Raises:
        IndexError: no such axis.
        TypeError: x is not floating.

    Example:
        >>> import ranvier as rv
        >>> round(rv.functional.logsumexp(rv.tensor([1000.0, 1000.0]), 0).item(), 3)
        1000.693
    """
    check_tensors(x)
    if not x.dtype.is_floating_point:
        raise TypeError(f"[logsumexp] expected a floating dtype, got {x.dtype.name}")
    y = _LogSumExp.apply(x, dim=dim)
    if keepdim:
        return y
    return y.reshape(()) if dim is None else y.squeeze(tuple(dim) if type(dim) is list else dim)
