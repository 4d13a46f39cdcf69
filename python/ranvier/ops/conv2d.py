"""Convolution of images: cross-correlation with learned filters.

    y[n,k,p,q] = b[k] + sum over c, r, s of w[k,c,r,s] x[n, c, p stride + r dilation - top, ...]

Source: LeCun et al., "Gradient-based learning applied to document recognition", Proceedings of the
IEEE 86 (1998), section II.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._windows import Sizes, per_axis
from ranvier.tensor import Tensor

Array = _core.Array

Padding = str | int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]


class _Conv2d(Function):
    def forward(self, x: Array, weight: Array, bias: Array | None, *, geometry: Any) -> Array:
        x = x.channels_last()  # reordered once, for the weight gradient too
        self.geometry, self.x_shape = geometry, x.shape
        wanted = self.needs[1] or self.needs[2]
        self.save(x if wanted else None, weight if wanted or self.needs[0] else None)
        return _core.conv2d(x, weight, bias, *geometry)

    def backward(self, dy: Array) -> Any:
        x, weight = self.saved
        dx = dw = db = None
        dy = dy.channels_last()
        if self.needs[0]:
            dx = _core.conv2d_data(dy, weight, None, self.x_shape, *self.geometry)
        if self.needs[1] or self.needs[2]:
            dw, db = _core.conv2d_weight(x, dy, weight, self.needs[2], *self.geometry)
        return dx, dw if self.needs[1] else None, db


def _sides(
    padding: Any, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, ...]:
    """(top, bottom, left, right)."""
    if isinstance(padding, str):
        if padding == "valid":
            return (0, 0, 0, 0)
        if padding != "same":
            raise ValueError(
                f"[conv2d] expected padding='same', 'valid' or numbers, got {padding!r}"
            )
        if stride != (1, 1):
            raise ValueError(
                f"[conv2d] expected stride 1 for padding='same', got {stride} - give the padding "
                "in numbers"
            )
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return (total[0] // 2, total[0] - total[0] // 2, total[1] // 2, total[1] - total[1] // 2)
    if isinstance(padding, (tuple, list)) and len(padding) == 2:
        return (
            *per_axis("conv2d", "padding", padding[0], 2),
            *per_axis("conv2d", "padding", padding[1], 2),
        )
    return per_axis("conv2d", "padding", padding, 2) * 2


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
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
            right)), "valid" for none, or "same" to keep the size (stride 1; where the total is odd
            the bottom and right get one more, as in PyTorch).
        dilation: distance between taps; a number or (vertical, horizontal).
        groups: the channels are cut into this many parts, and each filter sees one of them; as many
            groups as channels is a depthwise convolution.

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
    for name, value in (("x", x), ("weight", weight)):
        if not isinstance(value, Tensor):
            raise TypeError(
                f"[conv2d] expected {name} as a tensor, got {type(value).__name__} - wrap it in "
                "rv.tensor"
            )
    if x.ndim not in (3, 4):
        raise ValueError(f"[conv2d] expected x of shape (N, C, H, W) or (C, H, W), got {x.shape}")
    if weight.ndim != 4:
        raise ValueError(
            f"[conv2d] expected weight of shape (K, C / groups, R, S), got {weight.shape}"
        )
    steps = per_axis("conv2d", "stride", stride, 2)
    spread = per_axis("conv2d", "dilation", dilation, 2)
    sides = _sides(padding, weight.shape[2:], steps, spread)
    geometry = (steps, sides, spread, *per_axis("conv2d", "groups", groups, 1))
    if x.ndim == 3:
        return _Conv2d.apply(x.unsqueeze(0), weight, bias, geometry=geometry)[0]
    return _Conv2d.apply(x, weight, bias, geometry=geometry)
