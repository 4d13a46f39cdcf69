"""Windows of an image as the columns of a matrix, and back: convolution as a matrix product.

    im2col(x)[n, (c, r, s), (p, q)] = x[n, c, p stride + r dilation - top, ...]

`col2im` is its transpose, so each is the other's gradient. Composites of one copy, or one sum, for
each tap.

Source: Chellapilla, Puri and Simard, "High performance convolutional neural networks for document
processing" (2006).
"""

from __future__ import annotations

import math
from typing import Any

from ranvier import _core
from ranvier.ops._im2col import Col2Im, Im2Col
from ranvier.ops._taps import Window
from ranvier.ops._windows import Sizes, per_axis
from ranvier.tensor import Tensor


def _window(
    op: str, axes: int, kernel_size: Sizes, dilation: Sizes, padding: Any, stride: Sizes
) -> Window:
    if isinstance(padding, (tuple, list)) and any(isinstance(p, (tuple, list)) for p in padding):
        if len(padding) != axes:
            raise ValueError(
                f"[{_core.op_name()}] expected {axes} pairs of padding, got {padding!r}"
            )
        sides = [per_axis(op, "padding", p, 2) for p in padding]
    else:
        sides = [(p, p) for p in per_axis(op, "padding", padding, axes)]
    return Window(
        per_axis(op, "kernel_size", kernel_size, axes),
        per_axis(op, "stride", stride, axes),
        per_axis(op, "dilation", dilation, axes),
        tuple([(s[0], s[1]) for s in sides]),
    )


def im2col(
    x: Tensor, kernel_size: Sizes, dilation: Sizes = 1, padding: Any = 0, stride: Sizes = 1
) -> Tensor:
    """Every window of an image as a column; also called `unfold`.

    Args:
        x: (N, C, H, W), or (N, C, L), or (N, C, D, H, W).
        kernel_size: taps of a window, a number or one for each axis.
        dilation: distance between taps.
        padding: zeros around the image: a number, one for each axis, or (before, after) for each.
        stride: step between windows.

    Returns:
        (N, C R S, P Q): rows by channel, then tap; columns by window; all row-major.

    Raises:
        ValueError: a window larger than the padded image, or steps below 1.

    Example:
        >>> import ranvier as rv
        >>> image = rv.arange(9.0).reshape(1, 1, 3, 3)
        >>> rv.functional.im2col(image, 2)[0].tolist()[0]
        [0.0, 1.0, 3.0, 4.0]
    """
    if not isinstance(x, Tensor):
        raise TypeError(
            f"[{_core.op_name()}] expected a tensor, got {type(x).__name__} - wrap it in rv.tensor"
        )
    axes = x.ndim - 2
    if axes not in (1, 2, 3):
        raise ValueError(f"[{_core.op_name()}] expected x of shape (N, C, H, W), got {x.shape}")
    window = _window("im2col", axes, kernel_size, dilation, padding, stride)
    outputs = window.outputs("im2col", x.shape[2:])
    return Im2Col.apply(x, window=window, outputs=outputs)


def col2im(
    cols: Tensor,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Any = 0,
    stride: Sizes = 1,
) -> Tensor:
    """Adds columns back to the samples that their windows hold; also called `fold`.

    The transpose of `im2col`, not its inverse: a sample in k windows gets k summands.

    Args:
        cols: (N, C R S, P Q).
        output_size: (H, W) of the image; its length says how many axes there are.
        kernel_size: taps of a window.
        dilation: distance between taps.
        padding: zeros that were around the image.
        stride: step between windows.

    Returns:
        (N, C, H, W).

    Raises:
        ValueError: rows that are no multiple of the taps, or another number of columns than there
            are windows.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.col2im(rv.ones(1, 2, 3), (4,), 2).tolist()
        [[[1.0, 2.0, 2.0, 1.0]]]
    """
    if not isinstance(cols, Tensor):
        raise TypeError(
            f"[{_core.op_name()}] expected a tensor, got {type(cols).__name__} - wrap it in "
            "rv.tensor"
        )
    axes = len(output_size) if isinstance(output_size, (tuple, list)) else 2
    if axes not in (1, 2, 3):
        raise ValueError(
            f"[{_core.op_name()}] expected output_size of 1 to 3 axes, got {output_size}"
        )
    sizes = per_axis("col2im", "output_size", output_size, axes)
    window = _window("col2im", axes, kernel_size, dilation, padding, stride)
    outputs = window.outputs("col2im", sizes)
    taps, count = math.prod(window.kernel), math.prod(outputs)
    if cols.ndim != 3 or cols.shape[1] % taps or cols.shape[2] != count:
        raise ValueError(
            f"[{_core.op_name()}] expected cols of shape (N, C * {taps}, {count}) for {taps} taps "
            f"and windows {outputs} over {sizes}, got {cols.shape}"
        )
    return Col2Im.apply(cols, sizes=sizes, window=window, outputs=outputs)


unfold, fold = im2col, col2im
