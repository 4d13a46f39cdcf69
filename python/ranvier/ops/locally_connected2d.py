"""A convolution without weight sharing: every output pixel has filters of its own.

    y[n,k,p,q] = b[k,p,q] + sum over c, r, s of w[p,q,k,c,r,s] x[n, c, p stride + r dilation, ...]

A composite: the columns of `im2col` times a matrix for each output pixel, as one batched product.

Source: LeCun, "Generalization and network design strategies" (1989); Goodfellow, Bengio and
Courville, Deep Learning (2016), section 9.5.
"""

from __future__ import annotations

from typing import Any

from ranvier.ops._arguments import array
from ranvier.ops._im2col import Im2Col
from ranvier.ops._taps import Window
from ranvier.ops._windows import Sizes, per_axis
from ranvier.tensor import Tensor, check_tensors


def locally_connected2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Any = 0,
    dilation: Sizes = 1,
) -> Tensor:
    """Filters that slide over an image and change from place to place.

    Args:
        x: (N, C, H, W).
        weight: (P, Q, K, C, R, S): K filters for each output pixel.
        bias: (K, P, Q) or None.
        stride: step between windows; a number or (vertical, horizontal).
        padding: zeros around the image; a number or (vertical, horizontal).
        dilation: distance between taps.

    Returns:
        (N, K, P, Q). With the same filters everywhere it is `conv2d`.

    Raises:
        ValueError: sizes that do not fit.

    Example:
        >>> import ranvier as rv
        >>> weight = rv.tensor([[1.0, 10.0, 100.0]]).reshape(1, 3, 1, 1, 1, 1)
        >>> rv.functional.locally_connected2d(rv.ones(1, 1, 1, 3), weight).tolist()
        [[[[1.0, 10.0, 100.0]]]]
    """
    check_tensors(x, weight)
    array("bias", bias)
    op = "locally_connected2d"
    if x.ndim != 4:
        raise ValueError(f"[{op}] expected x of shape (N, C, H, W), got {x.shape}")
    if weight.ndim != 6:
        raise ValueError(f"[{op}] expected weight of shape (P, Q, K, C, R, S), got {weight.shape}")
    p, q, k, c, r, s = weight.shape
    window = Window(
        (r, s),
        tuple(per_axis(op, "stride", stride, 2)),
        tuple(per_axis(op, "dilation", dilation, 2)),
        tuple([(a, a) for a in per_axis(op, "padding", padding, 2)]),
    )
    if x.shape[1] != c:
        raise ValueError(
            f"[{op}] expected {c} input channels (weight of shape {weight.shape}), got "
            f"{x.shape[1]} (x of shape {x.shape})"
        )
    outputs = window.outputs(op, x.shape[2:])
    if outputs != (p, q):
        raise ValueError(
            f"[{op}] expected filters for {outputs[0]} x {outputs[1]} output pixels, got weight of "
            f"shape {weight.shape} - the image size is part of the layer"
        )
    if bias is not None and bias.shape != (k, p, q):
        raise ValueError(f"[{op}] expected bias of shape {(k, p, q)}, got {bias.shape}")
    cols = Im2Col.apply(x, window=window, outputs=outputs)  # (N, C R S, P Q)
    filters = weight.reshape(p * q, k, c * r * s)
    y = filters @ cols.permute(2, 1, 0)  # (P Q, K, N)
    y = y.permute(2, 1, 0).reshape(x.shape[0], k, p, q)
    return y if bias is None else y + bias
