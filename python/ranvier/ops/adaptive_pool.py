"""Pooling to a wanted output size, and to one number for each channel.

Output p of P along an axis of H samples holds the samples from floor(p H / P) to
ceil((p + 1) H / P) - 1: windows of nearly equal size that cover everything and may overlap. Means
are taken axis by axis; ties of maxima go to the first in row-major order, NaN wins.

Source: He et al., "Spatial pyramid pooling in deep convolutional networks for visual recognition",
ECCV 2014; Lin, Chen and Yan, "Network in network", ICLR 2014, for global average pooling.
"""

from __future__ import annotations

import operator
from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._arguments import check_count
from ranvier.ops._resample import Resample, Way
from ranvier.tensor import Tensor, check_tensors

Array = _core.Array


class _Max(Function):
    """The largest of each window."""

    def forward(self, x: Array, *, sizes: tuple[int, ...]) -> Array:
        y, switches = _core.adaptive_max_pool(x, sizes)
        self.save(switches)
        self.shape, self.sizes = x.shape, sizes
        return y

    def backward(self, grad: Array) -> Array:
        (switches,) = self.saved
        return _core.adaptive_max_unpool(grad, switches, self.shape)


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


def _sizes(op: str, axes: int, x: Tensor, output_size: Any) -> tuple[int, ...]:
    _check(op, axes, x)
    sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * axes
    if len(sizes) != axes:
        raise ValueError(f"[{op}] expected output_size of {axes} axes, got {output_size}")
    try:
        found = tuple([
            have if wanted is None else operator.index(wanted)
            for wanted, have in zip(sizes, x.shape[2:], strict=True)
        ])  # fmt: skip
    except TypeError:
        raise TypeError(
            f"[{op}] expected output_size as whole numbers or None, got {output_size!r}"
        ) from None
    if min(found) < 1:
        raise ValueError(f"[{op}] expected an output_size of at least 1, got {output_size}")
    check_count((*x.shape[:2], *found))
    return found


def _mean(op: str, axes: int, x: Tensor, output_size: Any) -> Tensor:
    sizes = zip(x.shape[2:], _sizes(op, axes, x, output_size), strict=True)
    return Resample.apply(x, axis=2, ways=tuple([Way("adaptive", n, out) for n, out in sizes]))


def _largest(op: str, axes: int, x: Tensor, output_size: Any) -> Tensor:
    return _Max.apply(x, sizes=_sizes(op, axes, x, output_size))


def adaptive_avg_pool1d(x: Tensor, output_size: Any) -> Tensor:
    """The means of `output_size` windows that cover x (N, C, L); see `adaptive_avg_pool2d`."""
    check_tensors(x)
    return _mean("adaptive_avg_pool1d", 1, x, output_size)


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
    check_tensors(x)
    return _mean("adaptive_avg_pool2d", 2, x, output_size)


def adaptive_avg_pool3d(x: Tensor, output_size: Any) -> Tensor:
    """The means of windows that cover x (N, C, D, H, W); see `adaptive_avg_pool2d`."""
    check_tensors(x)
    return _mean("adaptive_avg_pool3d", 3, x, output_size)


def adaptive_max_pool1d(x: Tensor, output_size: Any) -> Tensor:
    """The maxima of `output_size` windows that cover x (N, C, L); see `adaptive_max_pool2d`."""
    return _largest("adaptive_max_pool1d", 1, x, output_size)


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
    return _largest("adaptive_max_pool2d", 2, x, output_size)


def adaptive_max_pool3d(x: Tensor, output_size: Any) -> Tensor:
    """The maxima of windows that cover x (N, C, D, H, W); see `adaptive_max_pool2d`."""
    return _largest("adaptive_max_pool3d", 3, x, output_size)


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
    return x.amax((2, 3), keepdim=True)
