"""Convolution of images, as networks use the word: cross-correlation with learned filters.

All three functions loop over the taps of the filter. For one tap, convolution is a matrix product
over the channels, on all output pixels at once; data gradient and weight gradient are the same
product with the roles exchanged. Nothing here counts the spatial axes: sequences and volumes work
as well.

Letters: N batch, C channels in, K channels out, H W input, P Q output, R S filter, G groups.

Source: LeCun et al., Gradient-based learning applied to document recognition (1998), section II.
"""

import numpy as np

from ._windows import Padding, Sizes, Windows


def _split(x: np.ndarray, axis: int, groups: int) -> np.ndarray:
    """The channels on ``axis`` as (groups, channels per group)."""
    return x.reshape(*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])


def conv2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> np.ndarray:
    """Each output pixel is the inner product of a filter with the pixels under it, plus a bias.

    ``y[n,k,p,q] = b[k] + sum_crs w[k,c,r,s] x[n, c, p stride + r dilation - top, q ... - left]``,
    where pixels outside the image are zero.

    Args:
        x: (N, C, H, W).
        weight: (K, C/G, R, S).
        bias: (K,) or None.
        stride: distance of neighbouring windows; one number, or (vertical, horizontal).
        padding: zeros around the image; one number, (vertical, horizontal), or
            ((top, bottom), (left, right)).
        dilation: distance of neighbouring taps.
        groups: the channels are cut into G parts, and each filter sees one of them.

    Returns:
        (N, K, P, Q).

    Example:
        >>> image = np.arange(9.0).reshape(1, 1, 3, 3)
        >>> conv2d(image, np.ones((1, 1, 2, 2)))[0, 0]
        array([[ 8., 12.],
               [20., 24.]])
    """
    windows = Windows(x, weight.shape[2:], stride, padding, dilation)
    framed = windows.frame(_split(x, 1, groups))  # (N, G, C/G, framed H, framed W)
    filters = _split(weight, 0, groups)  # (G, K/G, C/G, R, S)
    n, k = len(x), len(weight)
    y = np.zeros((n, groups, k // groups, *windows.output), x.dtype)
    for tap, pixels in windows.taps():
        y += np.einsum("gkc,ngc...->ngk...", filters[tap], framed[pixels])
    y = y.reshape(n, k, *windows.output)
    return y if bias is None else y + bias.reshape(-1, *[1] * len(windows.output))


def conv2d_backward(
    grad: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> tuple[np.ndarray, ...]:
    """Gradients by x, by weight and, if there is one, by bias, from grad of shape (N, K, P, Q).

    Per tap: every pixel gets back what it gave, weighted by the filter (data gradient); every
    weight gets the inner product of what it saw with what came back (weight gradient).
    """
    windows = Windows(x, weight.shape[2:], stride, padding, dilation)
    framed = windows.frame(_split(x, 1, groups))
    filters = _split(weight, 0, groups)
    grad_y = _split(grad, 1, groups)  # (N, G, K/G, P, Q)
    grad_framed, grad_filters = np.zeros_like(framed), np.zeros_like(filters)
    for tap, pixels in windows.taps():
        grad_framed[pixels] += np.einsum("gkc,ngk...->ngc...", filters[tap], grad_y)
        products = np.einsum("ngk...,ngc...->gkc...", grad_y, framed[pixels])
        grad_filters[tap] = products.reshape(*products.shape[:3], -1).sum(axis=-1)
    by_x = windows.unframe(grad_framed).reshape(x.shape)
    by_weight = grad_filters.reshape(weight.shape)
    if bias is None:
        return by_x, by_weight
    return by_x, by_weight, grad.sum(axis=(0, *range(2, grad.ndim)))
