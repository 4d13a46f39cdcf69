"""Convolution of volumes and films, and its adjoint.

    y[n,k,o,p,q] = b[k] + sum over t of conv2d(x[:, :, o stride + t dilation - front], w[:, :, t])

A composite: the sum over the taps t along the depth, each of which convolves all frames that it
meets as one batch of images by the kernels of `conv2d`. Frames that would lie in the padding are
never touched.

Source: Tran et al., "Learning spatiotemporal features with 3D convolutional networks", ICCV 2015;
Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), chapter 4.
"""

from __future__ import annotations

from ranvier.ops._conv import Padding, convolution, transposed_convolution
from ranvier.ops._windows import Sizes
from ranvier.tensor import Tensor


def conv3d(
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
    """Slides filters through volumes; see `conv2d` for the options.

    Args:
        x: (N, C, D, H, W) or (C, D, H, W).
        weight: (K, C / groups, T, R, S).
        bias: (K,) or None.
        stride: step between windows; a number or (depth, vertical, horizontal).
        padding: zeros around the volume: a number, three numbers, three (before, after), "valid",
            "same", "same_upper", "same_lower" or "full".
        dilation: distance between taps; a number or three.
        groups: parts that the channels are cut into.
        padding_mode: "zeros", "reflect", "replicate", "symmetric" or "circular".
        flip: reverse the filters along all three axes.

    Returns:
        (N, K, O, P, Q) or (K, O, P, Q).

    Raises:
        ValueError: channels, groups or sizes that do not fit; a kernel larger than the padded
            input.
        TypeError: different dtypes or devices.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.conv3d(rv.ones(1, 1, 3, 3, 3), rv.ones(1, 1, 3, 3, 3)).item()
        27.0
    """
    return convolution(
        "conv3d", 3, x, weight, bias, stride, padding, dilation, groups, padding_mode, flip
    )


def conv_transpose3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The adjoint of `conv3d`; see `conv_transpose2d`.

    Args:
        x: (N, C, D, H, W) or (C, D, H, W).
        weight: (C, K / groups, T, R, S).
        bias: (K,) or None.
        stride: distance of neighbouring stamps.
        padding: how much of the output is cut on each side.
        output_padding: places added at the ends of the output.
        groups: parts that the channels are cut into.
        dilation: distance between taps.

    Returns:
        (N, K, D', H', W'), each (size - 1) stride + dilation (taps - 1) + 1 + output_padding -
        before - after.

    Raises:
        ValueError: channels, groups or sizes that do not fit.
        TypeError: different dtypes or devices.

    Example:
        >>> import ranvier as rv
        >>> x = rv.ones(1, 1, 2, 2, 2)
        >>> rv.functional.conv_transpose3d(x, rv.ones(1, 1, 2, 2, 2), stride=2).shape
        (1, 1, 4, 4, 4)
    """
    return transposed_convolution(
        "conv_transpose3d", 3, x, weight, bias, stride, padding, output_padding, groups, dilation
    )
