"""Channels as finer pixels, and back: sub-pixel convolution's last step.

    y[n, c, h r + i, w r + j] = x[n, c r^2 + i r + j, h, w]

Source: Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel
convolutional neural network", CVPR 2016.
"""

from __future__ import annotations

from ranvier.ops._arguments import whole
from ranvier.tensor import Tensor


def _factor(op: str, x: Tensor, factor: int) -> int:
    if not isinstance(x, Tensor):
        raise TypeError(f"[{op}] expected a tensor, got {type(x).__name__} - wrap it in rv.tensor")
    if x.ndim != 4:
        raise ValueError(f"[{op}] expected x of shape (N, C, H, W), got {x.shape}")
    r = whole("a factor", factor)
    if r < 1:
        raise ValueError(f"[{op}] expected a factor of at least 1, got {r}")
    return r


def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    """(N, C r^2, H, W) as (N, C, H r, W r), with r = `upscale_factor`.

    Raises:
        ValueError: channels that r^2 does not divide.

    Example:
        >>> import ranvier as rv
        >>> x = rv.arange(4.0).reshape(1, 4, 1, 1)
        >>> rv.functional.pixel_shuffle(x, 2).tolist()
        [[[[0.0, 1.0], [2.0, 3.0]]]]
    """
    r = _factor("pixel_shuffle", x, upscale_factor)
    n, c, h, w = x.shape
    if c % (r * r):
        raise ValueError(
            f"[pixel_shuffle] expected channels that {r} * {r} divides, got {c} (x of shape "
            f"{x.shape})"
        )
    c //= r * r
    return x.reshape(n, c, r, r, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c, h * r, w * r)


def pixel_unshuffle(x: Tensor, downscale_factor: int) -> Tensor:
    """(N, C, H r, W r) as (N, C r^2, H, W), r = `downscale_factor`: undoes `pixel_shuffle`.

    Raises:
        ValueError: sizes that r does not divide.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.pixel_unshuffle(rv.ones(1, 1, 4, 6), 2).shape
        (1, 4, 2, 3)
    """
    r = _factor("pixel_unshuffle", x, downscale_factor)
    n, c, h, w = x.shape
    if h % r or w % r:
        raise ValueError(
            f"[pixel_unshuffle] expected height and width that {r} divides, got x of shape "
            f"{x.shape}"
        )
    h, w = h // r, w // r
    return x.reshape(n, c, h, r, w, r).permute(0, 1, 3, 5, 2, 4).reshape(n, c * r * r, h, w)
