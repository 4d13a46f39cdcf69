"""Transposed convolution: every input pixel stamps its weighted filter; stamps add up.

All functions loop over the taps of the filter, on the frame that holds every stamp in full; padding
then cuts the frame. Nothing here counts the spatial axes: sequences and volumes work as well.

Letters: N batch, C channels in, K channels out, G groups.

Source: Dumoulin and Visin, A guide to convolution arithmetic for deep learning (2016), chapter 4.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from ._windows import Padding, Sizes


class _Stamps:
    """Where each tap lands: sizes are one number for all axes, or one for each."""

    def __init__(
        self,
        image: tuple[int, ...],
        kernel: tuple[int, ...],
        stride: Sizes,
        padding: Padding,
        output_padding: Sizes,
        dilation: Sizes,
    ) -> None:
        def each(value: Any) -> tuple[Any, ...]:
            return (value,) * len(image) if isinstance(value, int) else tuple(value)

        self.image, self.kernel = image, kernel
        self.stride, self.dilation, more = each(stride), each(dilation), each(output_padding)
        sides = [(p, p) if isinstance(p, int) else tuple(p) for p in each(padding)]
        self.framed = tuple(
            (n - 1) * s + d * (k - 1) + 1 + m
            for n, s, d, k, m in zip(image, self.stride, self.dilation, kernel, more, strict=True)
        )
        self.inside: Any = (
            ...,
            *[slice(b, size - a) for size, (b, a) in zip(self.framed, sides, strict=True)],
        )

    def taps(self) -> Iterator[tuple[Any, Any]]:
        """Each tap: the index of its weight, and of the places of the frame that it stamps on."""
        for tap in itertools.product(*map(range, self.kernel)):
            axes = zip(tap, self.dilation, self.image, self.stride, strict=True)
            grid = [slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in axes]
            yield (..., *tap), (..., *grid)


def _grouped(x: np.ndarray, weight: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """x as (N, G, C/G, ...) and weight as (G, C/G, K/G, ...)."""
    part = x.shape[1] // groups
    return (
        x.reshape(len(x), groups, part, *x.shape[2:]),
        weight.reshape(groups, part, *weight.shape[1:]),
    )


def conv_transpose2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> np.ndarray:
    """``y[n, k, i stride + r dilation - top, ...] += sum_c x[n,c,i,j] w[c,k,r,s]``, plus the bias.

    Args:
        x: (N, C, H, W).
        weight: (C, K/G, R, S).
        bias: (K,) or None.
        stride: distance of neighbouring stamps.
        padding: what is cut from the frame of all stamps on each side.
        output_padding: rows and columns added behind the last stamp.
        groups: the channels are cut into G parts.
        dilation: distance of neighbouring taps.

    Returns:
        (N, K, P, Q).

    Example:
        >>> conv_transpose2d(np.array([[[1.0, 2.0]]]), np.array([[[1.0, 10.0]]]), stride=2)
        array([[[ 1., 10.,  2., 20.]]])
    """
    stamps = _Stamps(x.shape[2:], weight.shape[2:], stride, padding, output_padding, dilation)
    given, filters = _grouped(x, weight, groups)
    framed = np.zeros((len(x), groups, weight.shape[1], *stamps.framed), x.dtype)
    for tap, places in stamps.taps():
        framed[places] += np.einsum("gck,ngc...->ngk...", filters[tap], given)
    y = framed[stamps.inside]
    y = y.reshape(len(x), groups * weight.shape[1], *y.shape[3:])
    return y if bias is None else y + bias.reshape(-1, *[1] * len(stamps.image))


def conv_transpose2d_backward(
    grad: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> tuple[np.ndarray, ...]:
    """Gradients by x, by weight and, if there is one, by bias: every stamp reads what it wrote."""
    stamps = _Stamps(x.shape[2:], weight.shape[2:], stride, padding, output_padding, dilation)
    given, filters = _grouped(x, weight, groups)
    framed = np.zeros((len(x), groups, weight.shape[1], *stamps.framed), grad.dtype)
    inner = framed[stamps.inside]
    inner[...] = grad.reshape(inner.shape)
    by_x, by_weight = np.zeros_like(given), np.zeros_like(filters)
    for tap, places in stamps.taps():
        by_x += np.einsum("gck,ngk...->ngc...", filters[tap], framed[places])
        products = np.einsum("ngc...,ngk...->gck...", given, framed[places])
        by_weight[tap] = products.reshape(*products.shape[:3], -1).sum(axis=-1)
    gradients = by_x.reshape(x.shape), by_weight.reshape(weight.shape)
    return gradients if bias is None else (*gradients, grad.sum(axis=(0, *range(2, grad.ndim))))
