"""Transposed convolution of images and sequences: every input stamps its weighted filter.

    y[n, k, i stride + r dilation - top, ...] += sum over c of x[n,c,i,j] w[c,k,r,s]

It is the adjoint A' of the convolution A with the same weight: <A x, y> = <x, A' y>. A composite:
the kernel of `conv2d`'s data gradient is its forward, by residue classes of the stride, so that
inserted zeros are never multiplied; `conv2d` is its data gradient.

Source: Zeiler et al., "Deconvolutional networks", CVPR 2010; Dumoulin and Visin, "A guide to
convolution arithmetic for deep learning" (2016), chapter 4.
"""

from __future__ import annotations

from ranvier.ops._conv import Padding, transposed_convolution
from ranvier.ops._windows import Sizes
from ranvier.tensor import Tensor


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """Lets every input pixel stamp its weighted filter on the output; stamps add up.

    Args:
        x: (N, C, H, W) or (C, H, W).
        weight: (C, K / groups, R, S), as in PyTorch: what a convolution from K to C channels has.
        bias: (K,) or None.
        stride: distance of neighbouring stamps; a number or (vertical, horizontal).
        padding: how much of the output is cut: a number, (vertical, horizontal), or ((top,
            bottom), (left, right)). The padding of the convolution that this one transposes.
        output_padding: rows and columns added at the bottom and right, fewer than the stride or
            the dilation: several sizes give the same size under a strided convolution.
        groups: the channels are cut into this many parts, which do not see each other.
        dilation: distance between taps; a number or (vertical, horizontal).

    Returns:
        (N, K, P, Q) or (K, P, Q), P = (H - 1) stride + dilation (R - 1) + 1 + output_padding - top
        - bottom, and Q alike. It lies in memory channels-last.

    Raises:
        ValueError: channels, groups or sizes that do not fit; an output without pixels; an
            output_padding that is too large.
        TypeError: different dtypes or devices.

    Source: Dumoulin and Visin (2016), chapter 4.

    Example:
        >>> import ranvier as rv
        >>> x = rv.tensor([[2.0, 1.0], [4.0, 4.0]])
        >>> kernel = rv.tensor([[1.0, 4, 1], [1, 4, 3], [3, 3, 1]])
        >>> y = rv.functional.conv_transpose2d(x[None, None], kernel[None, None])
        >>> y[0, 0].tolist()[1]
        [6.0, 29.0, 30.0, 7.0]
    """
    return transposed_convolution(
        "conv_transpose2d", 2, x, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The adjoint of `conv1d`; see `conv_transpose2d`.

    Args:
        x: (N, C, L) or (C, L).
        weight: (C, K / groups, S).
        bias: (K,) or None.
        stride: distance of neighbouring stamps.
        padding: how much of the output is cut: a number or ((before, after),).
        output_padding: places added at the end.
        groups: parts that the channels are cut into.
        dilation: distance between taps.

    Returns:
        (N, K, Q) or (K, Q), Q = (L - 1) stride + dilation (S - 1) + 1 + output_padding - before -
        after.

    Raises:
        ValueError: channels, groups or sizes that do not fit.
        TypeError: different dtypes or devices.

    Example:
        >>> import ranvier as rv
        >>> x, w = rv.tensor([[[1.0, 2.0]]]), rv.tensor([[[1.0, 10.0, 100.0]]])
        >>> rv.functional.conv_transpose1d(x, w, stride=2).tolist()
        [[[1.0, 10.0, 102.0, 20.0, 200.0]]]
    """
    return transposed_convolution(
        "conv_transpose1d", 1, x, weight, bias, stride, padding, output_padding, groups, dilation
    )
