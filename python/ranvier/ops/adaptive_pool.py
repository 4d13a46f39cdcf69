"""Pooling to a wanted output size, and to one number for each channel.

Output p of P along an axis of H samples holds the samples from floor(p H / P) to
ceil((p + 1) H / P) - 1: windows of nearly equal size that cover everything and may overlap. Mean
and maximum are taken axis by axis; ties of maxima go to the first in row-major order, NaN wins.

Source: He et al., "Spatial pyramid pooling in deep convolutional networks for visual recognition",
ECCV 2014; Lin, Chen and Yan, "Network in network", ICLR 2014, for global average pooling.
"""

from __future__ import annotations

import operator
from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._taps import filled_as, view
from ranvier.tensor import Tensor

Array = _core.Array


def _windows(size: int, outputs: int) -> list[slice]:
    return [slice(p * size // outputs, -(-(p + 1) * size // outputs)) for p in range(outputs)]


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return (*[slice(None)] * axis, part)


class _Mean(Function):
    """The mean of each window along one axis."""

    def forward(self, x: Array, *, axis: int, size: int) -> Array:
        self.shape, self.axis = x.shape, axis
        y = filled_as((*x.shape[:axis], size, *x.shape[axis + 1 :]), x)
        for p, part in enumerate(_windows(x.shape[axis], size)):
            mean = _core.mean(view(x, *_along(axis, part)), axis, True)
            _core.copy_into(view(y, *_along(axis, slice(p, p + 1))), mean)
        return y

    def backward(self, grad: Array) -> Array:
        dx, axis = filled_as(self.shape, grad), self.axis
        for p, part in enumerate(_windows(self.shape[axis], grad.shape[axis])):
            share = _core.divide(
                view(grad, *_along(axis, slice(p, p + 1))), float(part.stop - part.start)
            )
            _core.add_into(view(dx, *_along(axis, part)), share)
        return dx


class _Max(Function):
    """The largest of each window along one axis."""

    def forward(self, x: Array, *, axis: int, size: int) -> Array:
        self.x, self.axis = x, axis
        y = filled_as((*x.shape[:axis], size, *x.shape[axis + 1 :]), x)
        winners = []
        for p, part in enumerate(_windows(x.shape[axis], size)):
            window = view(x, *_along(axis, part))
            _core.copy_into(view(y, *_along(axis, slice(p, p + 1))), _core.max(window, axis, True))
            if self.needs[0]:
                winners.append(_core.argmax(window, axis, True))
        self.save(*winners)
        return y

    def backward(self, grad: Array) -> Array:
        dx, axis = filled_as(self.x.shape, grad), self.axis
        windows = _windows(self.x.shape[axis], grad.shape[axis])
        for p, (part, winner) in enumerate(zip(windows, self.saved, strict=True)):
            one = view(grad, *_along(axis, slice(p, p + 1)))
            window = view(self.x, *_along(axis, part))
            back = _core.extreme_backward(one, winner, window, axis)
            _core.add_into(view(dx, *_along(axis, part)), back)
        return dx


def _check(op: str, axes: int, x: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"[{op}] expected a tensor, got {type(x).__name__} - wrap it in rv.tensor")
    if x.ndim != axes + 2:
        letters = {1: "L", 2: "H, W", 3: "D, H, W"}[axes]
        raise ValueError(f"[{op}] expected x of shape (N, C, {letters}), got {x.shape}")
    if not x.dtype.is_floating_point:
        raise TypeError(f"[{op}] expected x of a floating dtype, got {x.dtype.name}")
    if 0 in x.shape[2:]:
        raise ValueError(f"[{op}] expected an input with samples, got x of shape {x.shape}")


def _pool(op: str, axes: int, kind: type[Function], x: Tensor, output_size: Any) -> Tensor:
    _check(op, axes, x)
    sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * axes
    if len(sizes) != axes:
        raise ValueError(f"[{op}] expected output_size of {axes} axes, got {output_size}")
    # From the last axis to the first: of equal maxima, the first row wins, then the first column.
    for axis in range(axes - 1, -1, -1):
        wanted, have = sizes[axis], x.shape[axis + 2]
        size = have if wanted is None else operator.index(wanted)
        if size < 1:
            raise ValueError(f"[{op}] expected an output_size of at least 1, got {output_size}")
        if size != have:
            x = kind.apply(x, axis=axis + 2, size=size)
    return x


def adaptive_avg_pool1d(x: Tensor, output_size: Any) -> Tensor:
    """The means of `output_size` windows that cover x (N, C, L); see `adaptive_avg_pool2d`."""
    return _pool("adaptive_avg_pool1d", 1, _Mean, x, output_size)


def adaptive_avg_pool2d(x: Tensor, output_size: Any) -> Tensor:
    """The means of windows that cover the image, as many as wanted.

    Args:
        x: (N, C, H, W).
        output_size: P, or (P, Q); None keeps the size of an axis.

    Returns:
        (N, C, P, Q).

    Raises:
        ValueError: sizes below 1.

    Example:
        >>> import ranvier as rv
        >>> x = rv.arange(6.0).reshape(1, 1, 1, 6)
        >>> rv.functional.adaptive_avg_pool2d(x, (1, 4)).tolist()
        [[[[0.5, 1.5, 3.5, 4.5]]]]
    """
    return _pool("adaptive_avg_pool2d", 2, _Mean, x, output_size)


def adaptive_avg_pool3d(x: Tensor, output_size: Any) -> Tensor:
    """The means of windows that cover x (N, C, D, H, W); see `adaptive_avg_pool2d`."""
    return _pool("adaptive_avg_pool3d", 3, _Mean, x, output_size)


def adaptive_max_pool1d(x: Tensor, output_size: Any) -> Tensor:
    """The maxima of `output_size` windows that cover x (N, C, L); see `adaptive_max_pool2d`."""
    return _pool("adaptive_max_pool1d", 1, _Max, x, output_size)


def adaptive_max_pool2d(x: Tensor, output_size: Any) -> Tensor:
    """The maxima of windows that cover the image, as many as wanted.

    Args:
        x: (N, C, H, W).
        output_size: P, or (P, Q); None keeps the size of an axis.

    Returns:
        (N, C, P, Q). The gradient goes to the first largest; NaN wins.

    Raises:
        ValueError: sizes below 1.

    Example:
        >>> import ranvier as rv
        >>> x = rv.arange(6.0).reshape(1, 1, 1, 6)
        >>> rv.functional.adaptive_max_pool2d(x, (1, 4)).tolist()
        [[[[1.0, 2.0, 4.0, 5.0]]]]
    """
    return _pool("adaptive_max_pool2d", 2, _Max, x, output_size)


def adaptive_max_pool3d(x: Tensor, output_size: Any) -> Tensor:
    """The maxima of windows that cover x (N, C, D, H, W); see `adaptive_max_pool2d`."""
    return _pool("adaptive_max_pool3d", 3, _Max, x, output_size)


def global_avg_pool2d(x: Tensor) -> Tensor:
    """The mean of each channel: (N, C, H, W) as (N, C, 1, 1).

    Example:
        >>> import ranvier as rv
        >>> rv.functional.global_avg_pool2d(rv.arange(4.0).reshape(1, 1, 2, 2)).item()
        1.5
    """
    _check("global_avg_pool2d", 2, x)
    return x.mean((2, 3), keepdim=True)


def global_max_pool2d(x: Tensor) -> Tensor:
    """The largest of each channel: (N, C, H, W) as (N, C, 1, 1).

    Example:
        >>> import ranvier as rv
        >>> rv.functional.global_max_pool2d(rv.arange(4.0).reshape(1, 1, 2, 2)).item()
        3.0
    """
    _check("global_max_pool2d", 2, x)
    return x.max((2, 3), keepdim=True)
