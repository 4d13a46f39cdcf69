"""Convolution of sequences: filters that slide along one axis.

    y[n,k,q] = b[k] + sum over c, s of w[k,c,s] x[n, c, q stride + s dilation - before]

A composite: an image of one row, by the kernels of `conv2d`. Its weight gradient is the inner
product of the output gradient with the shifted input, dL/dw = dL/dy im2col(x)'.

Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 9.1; Dumoulin and Visin,
"A guide to convolution arithmetic for deep learning" (2016).
"""

from __future__ import annotations

from ranvier.ops._conv import Padding, convolution
from ranvier.ops._windows import Sizes
from ranvier.tensor import Tensor


def conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    flip: bool = False,
) -> Tensor:
    """Slides filters along sequences; see `conv2d` for the options.

    Args:
        x: (N, C, L) or (C, L).
        weight: (K, C / groups, S).
        bias: (K,) or None.
        stride: step between windows.
        padding: zeros at both ends: a number, ((before, after),), "valid", "same", "same_upper",
            "same_lower" or "full".
        dilation: distance between taps.
        groups: parts that the channels are cut into.
        padding_mode: "zeros", "reflect", "replicate", "symmetric" or "circular".
        flip: reverse the filters: a convolution as mathematics defines it.

    Returns:
        (N, K, Q) or (K, Q), Q = floor((L + before + after - dilation (S - 1) - 1) / stride) + 1.

    Raises:
        ValueError: channels, groups or sizes that do not fit; a kernel longer than the padded
            input.
        TypeError: different dtypes or devices.

    Example:
        >>> import ranvier as rv
        >>> signal, taps = rv.tensor([[[1.0, 2.0, 3.0, 4.0]]]), rv.tensor([[[1.0, 0.0, -1.0]]])
        >>> rv.functional.conv1d(signal, taps).tolist()
        [[[-2.0, -2.0]]]
    """
    return convolution(
        "conv1d", 1, x, weight, bias, stride, padding, dilation, groups, padding_mode, flip
    )
