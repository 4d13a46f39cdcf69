"""Average and sum pooling over 1, 2 or 3 spatial axes.

    y[n, c, p] = (sum over the taps of window p of x) / divisor

The gradient spreads evenly over the window. Source: LeCun et al., "Gradient-based learning applied
to document recognition", Proceedings of the IEEE 86 (1998), section II.A.

Raises:
    ValueError: a window larger than the padded image, padding of more than half the window, steps
        below 1, or a divisor of 0.
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


class _AvgPool(Function):
    def forward(self, x: Array, window: tuple[Any, ...]) -> Array:
        if self.needs[0]:
            self.like, self.window = (x.shape, is_channels_last(x)), window
        return _core.avg_pool(x, *window)

    def backward(self, dy: Array) -> tuple[Array, None]:
        return spread(dy, *self.like, self.window), None


def _pool(
    op: str,
    axes: int,
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: float | None,
) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"[{op}] expected a tensor, got {type(x).__name__} - wrap it in rv.tensor")
    ndim = x.ndim
    if ndim != axes + 2 and ndim != axes + 1:
        names = ", ".join("DHW"[-axes:])
        raise ValueError(
            f"[{op}] expected x of shape (N, C, {names}) or (C, {names}), got {x.shape}"
        )
    if divisor_override == 0:
        raise ValueError(f"[{op}] expected a divisor other than 0")
    window = (
        per_axis(op, "kernel_size", kernel_size, axes),
        per_axis(op, "stride", kernel_size if stride is None else stride, axes),
        per_axis(op, "padding", padding, axes),
        bool(ceil_mode),
        bool(count_include_pad),
        0.0 if divisor_override is None else real("divisor_override", divisor_override),
    )
    if ndim == axes + 1:
        return _AvgPool.apply2(x.unsqueeze(0), window)[0]
    return _AvgPool.apply2(x, window)


def avg_pool1d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: float | None = None,
) -> Tensor:
    """Average pooling of x (N, C, W) or (C, W); see `avg_pool2d`."""
    return _pool(
        "avg_pool1d", 1, x, kernel_size, stride, padding, ceil_mode, count_include_pad,
        divisor_override,
    )  # fmt: skip


def avg_pool2d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: float | None = None,
) -> Tensor:
    """The mean of each window.

    Args:
        x: (N, C, H, W) or (C, H, W).
        kernel_size: window size, a number or (height, width).
        stride: step between windows; the window size by default.
        padding: zeros around the image, at most half the window.
        ceil_mode: round the output size up.
        count_include_pad: divide by the whole window, padding included; else by the samples in it.
        divisor_override: divide by this number instead; 1 gives sum pooling.

    Returns:
        (N, C, P, Q).

    Example:
        >>> import ranvier as rv
        >>> rv.functional.avg_pool2d(rv.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]), 2).item()
        3.0
    """
    return _pool(
        "avg_pool2d", 2, x, kernel_size, stride, padding, ceil_mode, count_include_pad,
        divisor_override,
    )  # fmt: skip


def avg_pool3d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: float | None = None,
) -> Tensor:
    """Average pooling of x (N, C, D, H, W) or (C, D, H, W); see `avg_pool2d`."""
    return _pool(
        "avg_pool3d", 3, x, kernel_size, stride, padding, ceil_mode, count_include_pad,
        divisor_override,
    )  # fmt: skip


def sum_pool1d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
) -> Tensor:
    """The sum of each window; see `avg_pool1d` and `avg_pool2d`."""
    return _pool("sum_pool1d", 1, x, kernel_size, stride, padding, ceil_mode, True, 1.0)


def sum_pool2d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
) -> Tensor:
    """The sum of each window; see `avg_pool2d`."""
    return _pool("sum_pool2d", 2, x, kernel_size, stride, padding, ceil_mode, True, 1.0)


def sum_pool3d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
) -> Tensor:
    """The sum of each window; see `avg_pool3d` and `avg_pool2d`."""
    return _pool("sum_pool3d", 3, x, kernel_size, stride, padding, ceil_mode, True, 1.0)
