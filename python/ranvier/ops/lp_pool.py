"""Pooling by a norm: the p-norm of each window, between sum (p = 1) and maximum (p large).

    y = (sum over the window of |x|^p)^(1/p),   dy/dx = sign(x) (|x| / y)^(p - 1)

where y = 0 the gradient is 0. A composite over average pooling with divisor 1.

Source: Hyvarinen and Koester, "Complex cell pooling and the statistics of natural images", Network
18 (2007); Sermanet, Chintala and LeCun, "Convolutional neural networks applied to house numbers
digit classification", ICPR 2012.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._arguments import real
from ranvier.ops._resample import is_channels_last, spread
from ranvier.ops._windows import Sizes, per_axis
from ranvier.tensor import Tensor

Array = _core.Array


def _abs(x: Array) -> Array:
    return _core.unary(x, _core.UNARY["abs"][0], 0.0)


class _LpPool(Function):
    def forward(self, x: Array, *, p: float, window: tuple[Any, ...]) -> Array:
        self.p, self.window = p, window
        if p == 2.0:  # without powers
            total = _core.avg_pool(_core.multiply(x, x), *window)
            y = _core.unary(total, _core.UNARY["sqrt"][0], 0.0)
        else:
            total = _core.avg_pool(_core.power(_abs(x), p), *window)
            y = _core.power(total, 1.0 / p)
        self.save(x, y)
        return y

    def backward(self, grad: Array) -> Array:
        x, y = self.saved
        # grad y^(1 - p), gathered by the windows over each sample, times sign(x) |x|^(p - 1)
        euclidean = self.p == 2.0
        over = (
            _core.divide(grad, y)
            if euclidean
            else _core.multiply(grad, _core.power(y, 1.0 - self.p))
        )
        over = _core.where(_core.equal(y, 0.0), 0.0, over)
        back = spread(over, x.shape, is_channels_last(x), self.window)
        if euclidean:
            return _core.multiply(back, x)
        sign = _core.unary(x, _core.UNARY["sign"][0], 0.0)
        return _core.multiply(_core.multiply(back, _core.power(_abs(x), self.p - 1.0)), sign)


def _pool(
    op: str,
    axes: int,
    x: Tensor,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None,
    ceil_mode: bool,
) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"[{op}] expected a tensor, got {type(x).__name__} - wrap it in rv.tensor")
    if x.ndim != axes + 2:
        letters = "L" if axes == 1 else "H, W"
        raise ValueError(f"[{op}] expected x of shape (N, C, {letters}), got {x.shape}")
    p = real("norm_type", norm_type)
    if not 1.0 <= p < float("inf"):
        raise ValueError(f"[{op}] expected a norm_type from 1 up, got {norm_type}")
    window = (
        per_axis(op, "kernel_size", kernel_size, axes),
        per_axis(op, "stride", kernel_size if stride is None else stride, axes),
        (0,) * axes,
        bool(ceil_mode),
        True,
        1.0,
    )
    return _LpPool.apply(x, p=p, window=window)


def lp_pool1d(
    x: Tensor,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The p-norm of each window of x (N, C, L); see `lp_pool2d`."""
    return _pool("lp_pool1d", 1, x, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    x: Tensor,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The p-norm of each window: ``(sum |x|^p)^(1/p)``.

    Args:
        x: (N, C, H, W).
        norm_type: p, from 1 up; 2 is L2 pooling.
        kernel_size: window size, a number or (height, width).
        stride: step between windows; the window size by default.
        ceil_mode: round the output size up.

    Returns:
        (N, C, P, Q). For odd p of negative numbers PyTorch differs: it takes no absolute values.

    Raises:
        ValueError: p below 1, or windows that do not fit.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.lp_pool2d(rv.tensor([[[[3.0, -4.0]]]]), 2, (1, 2)).item()
        5.0
    """
    return _pool("lp_pool2d", 2, x, norm_type, kernel_size, stride, ceil_mode)
