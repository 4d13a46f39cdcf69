"""Resampling of picture batches: one pass for any mixture of shift, rotation, scale and shear."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

_CHUNK_PIXELS = 1 << 15


def affine_resample(
    x: NDArray, inverse: NDArray[np.float64], offset: NDArray[np.float64], fill: ArrayLike = 0.0
) -> NDArray:
    r"""Draw each output pixel from the place where the inverse map says that it comes from.

    With pixel coordinates (u, v) = (column, row) measured from the middle of the picture, output
    pixel (u, v) takes the bilinear interpolation of the input at

        (u', v') = A (u, v) + b,      A = `inverse`,  b = `offset`.

    Around the picture everything is `fill`, and the border pixels blend into it. Where u' and v'
    fall on pixels, their values are copied exactly.

    Args:
        x: pictures, shape (N, C, H, W), floating point; not modified.
        inverse: shape (N, 2, 2).
        offset: shape (N, 2).
        fill: a number, or one for each channel.

    Returns:
        Pictures of x's shape and dtype. A sample's bits do not depend on the rest of the batch.
    """
    n, c, h, w = x.shape
    out = np.empty((n, c, h, w), x.dtype)
    if out.size:
        # A few samples at a time, whose buffers stay in the cache: four times faster than 128
        # colour pictures at once.
        step = max(1, _CHUNK_PIXELS // (h * w))
        for first in range(0, n, step):
            part = slice(first, first + step)
            _resample(x[part], inverse[part], offset[part], fill, out[part])
    return out


def _resample(
    x: NDArray,
    inverse: NDArray[np.float64],
    offset: NDArray[np.float64],
    fill: ArrayLike,
    out: NDArray,
) -> None:
    n, c, h, w = x.shape
    dtype = x.dtype.type
    # One pixel of fill above and left, two below and right: with coordinates clamped to [-1, size]
    # all four neighbours exist, and no mask is needed.
    rows, columns = h + 3, w + 3
    padded = np.empty((n, c, rows, columns), dtype)
    padded[:] = np.asarray(fill, dtype).reshape(-1, 1, 1)
    padded[:, :, 1 : h + 1, 1 : w + 1] = x

    u, v = _grid(h, w, x.dtype)
    a = inverse.astype(dtype)[:, :, :, None, None]
    # b plus the middle plus one pixel of padding, in float64: a whole shift stays whole.
    middle = np.array([(w + 1) / 2, (h + 1) / 2])
    b = (offset + middle).astype(dtype)[:, :, None, None]
    fu = a[:, 0, 0] * u + (a[:, 0, 1] * v + b[:, 0])  # (N, H, W) from (N, 1, W) and (N, H, 1)
    fv = a[:, 1, 0] * u + (a[:, 1, 1] * v + b[:, 1])
    np.clip(fu, 0, w + 1, out=fu)
    np.clip(fv, 0, h + 1, out=fv)
    u0, v0 = np.floor(fu), np.floor(fv)
    fu -= u0
    fv -= v0
    index = v0.astype(np.intp)
    index *= columns
    index += u0.astype(np.intp)
    index += (np.arange(n) * (c * rows * columns))[:, None, None]

    flat = padded.reshape(-1)
    for channel in range(c):
        plane = flat[channel * rows * columns :]
        # The four neighbours are the same index into four shifted views.
        upper = _between(plane, plane[1:], index, fu)
        lower = _between(plane[columns:], plane[columns + 1 :], index, fu)
        lower -= upper
        lower *= fv
        np.add(upper, lower, out=out[:, channel])


def _between(left: NDArray, right: NDArray, index: NDArray[np.intp], weight: NDArray) -> NDArray:
    """left[index] + weight * (right - left)[index]."""
    low = left.take(index, mode="clip")  # "clip" skips the check; every index is in range
    high = right.take(index, mode="clip")
    high -= low
    high *= weight
    high += low
    return high


@lru_cache(maxsize=16)
def _grid(h: int, w: int, dtype: np.dtype) -> tuple[NDArray, NDArray]:
    """Column and row numbers from the middle, shapes (1, W) and (H, 1), read-only."""
    u: NDArray = (np.arange(w) - (w - 1) / 2).astype(dtype)[None, :]
    v: NDArray = (np.arange(h) - (h - 1) / 2).astype(dtype)[:, None]
    u.flags.writeable = v.flags.writeable = False
    return u, v


def resize(x: NDArray, size: tuple[int, int], mode: str = "bilinear") -> NDArray:
    """Scale pictures to H x W = `size`, pixels being areas (PyTorch's align_corners=False).

    Bilinear: output pixel i lies at (i + 1/2) * in/out - 1/2 of the input, clamped to the border
    pixels, no smoothing when shrinking. Nearest: it takes input pixel floor(i * in/out).

    Args:
        x: shape (N, C, H, W); floating point for bilinear, any dtype for nearest.
        size: output height and width.
        mode: "bilinear" or "nearest".

    Returns:
        Shape (N, C, *size), dtype of x.
    """
    if x.shape[2:] == tuple(size):
        return x.copy()
    for axis, out in ((2, size[0]), (3, size[1])):  # separable: rows first, then columns
        source = x.shape[axis]
        if source == out:
            continue
        if mode == "nearest":
            x = x.take(np.arange(out) * source // out, axis)
            continue
        place = np.maximum((np.arange(out) + 0.5) * (source / out) - 0.5, 0.0)
        low = np.minimum(place.astype(np.intp), source - 1)
        weight = (place - low).astype(x.dtype)
        weight = weight[:, None] if axis == 2 else weight
        first = x.take(low, axis)
        second = x.take(np.minimum(low + 1, source - 1), axis)
        second -= first
        second *= weight
        second += first
        x = second
    return x
