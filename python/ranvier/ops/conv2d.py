"""Convolution of images: cross-correlation with learned filters.

    y[n,k,p,q] = b[k] + sum over c, r, s of w[k,c,r,s] x[n, c, p stride + r dilation - top, ...]

Source: LeCun et al., "Gradient-based learning applied to document recognition", Proceedings of the
IEEE 86 (1998), section II.
"""

from __future__ import annotations

from ranvier.ops._conv import Padding, convolution
from ranvier.ops._windows import Sizes
from ranvier.tensor import Tensor


def conv2d(
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
    """Slides filters over images: each output is a filter's inner product with what it covers.

    ``y[n,k,p,q] = b[k] + sum_crs w[k,c,r,s] x[n, c, p stride + r dilation - top, q ... - left]``
    with zeros outside of the image, P = floor((H + top + bottom - dilation (R - 1) - 1) / stride)
    + 1, and Q alike.

    Args:
        x: (N, C, H, W) or (C, H, W).
        weight: (K, C / groups, R, S).
        bias: (K,) or None.
        stride: step between windows; a number or (vertical, horizontal).
        padding: zeros around the image: a number, (vertical, horizontal), ((top, bottom), (left,
            right)), or a word. "valid" is none; "same" keeps the size (stride 1; where the total
            is odd the bottom and right get one more, as in PyTorch); "same_upper" and "same_lower"
            give ceil(size / stride) windows for any stride by the rule of TensorFlow and ONNX,
            with the odd one after or before; "full" is dilation (kernel - 1) on every side.
        dilation: distance between taps; a number or (vertical, horizontal).
        groups: the channels are cut into this many parts, and each filter sees one of them; as many
            groups as channels is a depthwise convolution.
        padding_mode: what the padding holds: "zeros", or the image continued by "reflect",
            "replicate", "symmetric" or "circular"; see `pad`.
        flip: rotate the filters by half a turn: a convolution as mathematics defines it.

    Returns:
        (N, K, P, Q), or (K, P, Q) for a single image. It lies in memory channels-last.

    Raises:
        ValueError: channels, groups or sizes that do not fit; a kernel larger than the padded
            image.
        TypeError: different dtypes or devices.

    Source: LeCun et al. (1998), section II; Dumoulin and Visin, "A guide to convolution arithmetic
    for deep learning" (2016).

    Example:
        >>> import ranvier as rv
        >>> image = rv.tensor([[4.0, 5, 8, 7], [1, 8, 8, 8], [3, 6, 6, 4], [6, 5, 7, 8]])
        >>> kernel = rv.tensor([[1.0, 4, 1], [1, 4, 3], [3, 3, 1]])
        >>> rv.functional.conv2d(image[None, None], kernel[None, None]).tolist()
        [[[[122.0, 148.0], [126.0, 134.0]]]]
    """
    return convolution(
        "conv2d", 2, x, weight, bias, stride, padding, dilation, groups, padding_mode, flip
    )
