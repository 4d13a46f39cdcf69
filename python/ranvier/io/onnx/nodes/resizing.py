"""Changes of size: by `interpolate` where it has the mode, else sample by sample.

A resized axis is a weighted sum of a few samples of the old one. Which, and how much of each,
follows from the sizes alone; reading and adding them up are our ops.

Source of cubic weights: Keys, "Cubic convolution interpolation for digital image processing", IEEE
Transactions on Acoustics, Speech, and Signal Processing 29 (1981).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import ranvier.functional as F
from ranvier.creation import full
from ranvier.io.onnx.graph import Unsupported, node, numbers
from ranvier.tensor import Tensor, tensor

ROUNDING: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda at: np.ceil(at - 0.5),
    "round_prefer_ceil": lambda at: np.floor(at + 0.5),
}


@dataclass
class _Mode:
    """How positions are found and samples weighted, in ONNX's words."""

    kind: str
    coordinates: str
    rounding: str
    a: float
    exclude: bool
    antialias: bool


def _positions(
    mode: str, size: int, out: int, scale: float, roi: tuple[float, float]
) -> np.ndarray:
    """Where each sample of the output lies among those of the input."""
    i = np.arange(out, dtype=np.float64)
    last = size * scale - 1  # ONNX lets this be broken where the output's size was rounded down
    if mode == "asymmetric":
        return i / scale
    if mode == "align_corners":
        return i * ((size - 1) / last) if out > 1 else np.zeros(1)
    if mode == "tf_crop_and_resize":
        start, end = roi
        if out == 1:
            return np.array([0.5 * (start + end) * (size - 1)])
        return start * (size - 1) + i * ((end - start) * (size - 1) / last)
    if mode == "pytorch_half_pixel" and out == 1:
        return np.zeros(1)
    at = (i + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":  # the middles coincide, though the output's size was rounded
        at += size / 2 * (1 - out / (scale * size))
    elif mode not in ("half_pixel", "pytorch_half_pixel"):
        raise Unsupported(f"Resize with coordinates {mode}")
    return at


def _weights(mode: _Mode, at: np.ndarray, size: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Samples (taps, out) that each output reads, and its weight for each."""
    if mode.kind == "nearest":
        places = ROUNDING[mode.rounding](at)[None]
        return np.clip(places, 0, size - 1).astype(np.int64), np.ones_like(places)
    narrow = min(scale, 1.0) if mode.antialias else 1.0  # a filter as wide as an output sample
    reach = math.ceil((2 if mode.kind == "cubic" else 1) / narrow)
    places = np.floor(at) + np.arange(1 - reach, reach + 1)[:, None]
    t = np.abs(places - at) * narrow
    if mode.kind == "linear":
        weights = np.maximum(1 - t, 0.0)
    else:
        a = mode.a
        near = ((a + 2) * t - (a + 3)) * t * t + 1
        far = a * (((t - 5) * t + 8) * t - 4)
        weights = np.where(t <= 1, near, np.where(t < 2, far, 0.0))
    if mode.exclude:
        weights = np.where((places < 0) | (places > size - 1), 0.0, weights)
    weights /= weights.sum(0)
    return np.clip(places, 0, size - 1).astype(np.int64), weights


def _resized_axis(
    x: Tensor, axis: int, out: int, scale: float, mode: _Mode, roi: tuple[float, float]
) -> tuple[Tensor, np.ndarray]:
    """x with one axis resized, and which of its places lie outside the input."""
    size = x.shape[axis]
    at = _positions(mode.coordinates, size, out, scale, roi)
    places, weights = _weights(mode, at, size, scale)
    y = None
    for place, weight in zip(places, weights, strict=True):
        part = x[(*[slice(None)] * axis, tensor(place))]
        if mode.kind != "nearest":
            shape = [-1 if a == axis else 1 for a in range(x.ndim)]
            part = part * tensor(weight.astype(x.dtype.numpy)).reshape(*shape)
        y = part if y is None else y + part
    assert y is not None
    return y, (at < 0) | (at > size - 1)


# What our `interpolate` does, in ONNX's words: (coordinates, rounding), then its own options.
OURS = {
    "nearest": [
        (("asymmetric", "floor"), ("nearest", False)),
        (("half_pixel", "round_prefer_ceil"), ("nearest-exact", False)),
    ],
    "linear": [(("half_pixel", ""), ("linear", False)), (("align_corners", ""), ("linear", True))],
}


def _share(mode: _Mode, size: int, out: int, scale: float) -> np.ndarray:
    """(out, size): how much each sample of an axis adds to each of the new one."""
    at = _positions(mode.coordinates, size, out, scale, (0.0, 1.0))
    places, weights = _weights(mode, at, size, scale)
    share = np.zeros((out, size))
    for place, weight in zip(places, weights, strict=True):
        share[np.arange(out), place] += weight
    return share


def _interpolated(
    x: Tensor, outs: list[int], scales: list[float], by_size: bool, mode: _Mode
) -> Tensor | None:
    """By our `interpolate`, where that takes the same samples by the same weights; else None."""
    if x.ndim not in (3, 4, 5) or tuple(outs[:2]) != x.shape[:2]:
        return None
    if mode.coordinates == "tf_crop_and_resize" or not x.dtype.is_floating_point:
        return None
    axes = [(x.shape[a], outs[a], scales[a]) for a in range(2, x.ndim) if outs[a] != x.shape[a]]
    if not axes:
        return None
    for (coordinates, rounding), options in OURS.get(mode.kind, []):
        candidate = _Mode(mode.kind, coordinates, rounding, mode.a, False, False)
        # ours lets the corners coincide whatever the scale, as ONNX does at the ratio of the sizes
        ratios = [out / n if options[1] else scale for n, out, scale in axes]
        ours = [_share(candidate, n, out, r) for (n, out, _), r in zip(axes, ratios, strict=True)]
        asked = [_share(mode, *axis) for axis in axes]
        if all(np.allclose(a, b, atol=1e-12) for a, b in zip(ours, asked, strict=True)):
            size = tuple(outs[2:]) if by_size else None
            return F.interpolate(x, size, None if by_size else tuple(scales[2:]), *options)
    return None


def _sizes(
    x: Tensor, scales: Tensor | None, sizes: Tensor | None, dims: list[int], policy: str
) -> tuple[list[int], list[float]]:
    """Size and scale of every axis of the output."""
    outs, factors = list(x.shape), [1.0] * x.ndim
    if sizes is None:
        given = [float(s) for s in scales.numpy()]  # type: ignore[union-attr]
        for a, s in zip(dims, given, strict=True):
            outs[a], factors[a] = math.floor(x.shape[a] * s), s
        return outs, factors
    wanted = numbers(sizes)
    ratios = [w / x.shape[a] for a, w in zip(dims, wanted, strict=True)]
    if policy != "stretch":
        ratio = min(ratios) if policy == "not_larger" else max(ratios)
        ratios = [ratio] * len(dims)
        wanted = [math.floor(x.shape[a] * ratio + 0.5) for a in dims]
    for a, w, ratio in zip(dims, wanted, ratios, strict=True):
        outs[a], factors[a] = w, ratio
    return outs, factors


@node("Resize")
def _resize(
    x: Tensor, roi: Tensor | None = None, scales: Tensor | None = None, sizes: Tensor | None = None,
    *, antialias: int = 0, axes: list[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel", cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0, extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch", mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor", opset: int,
) -> Tensor:  # fmt: skip
    if opset < 11:  # (x, scales), as Upsample
        return _upsample(x, roi, mode=mode)
    dims = list(range(x.ndim)) if axes is None else [a % x.ndim for a in axes]
    asked = _Mode(
        mode, coordinate_transformation_mode, nearest_mode, cubic_coeff_a, bool(exclude_outside),
        bool(antialias),
    )  # fmt: skip
    if sizes is not None and sizes.size == 0:
        sizes = None
    outs, factors = _sizes(x, scales, sizes, dims, keep_aspect_ratio_policy)
    y = _interpolated(x, outs, factors, sizes is not None, asked)
    if y is not None:
        return y
    crops = [(0.0, 1.0)] * x.ndim
    if roi is not None and roi.size:
        flat = [float(v) for v in roi.numpy()]
        for a, crop in zip(
            dims, zip(flat[: len(dims)], flat[len(dims) :], strict=True), strict=True
        ):
            crops[a] = crop
    y = x
    for a in dims:
        if outs[a] == x.shape[a] and factors[a] == 1 and crops[a] == (0.0, 1.0):
            continue
        y, outside = _resized_axis(y, a, outs[a], factors[a], asked, crops[a])
        if coordinate_transformation_mode == "tf_crop_and_resize" and outside.any():
            shape = [-1 if b == a else 1 for b in range(x.ndim)]
            fill = full((), extrapolation_value, dtype=x.dtype)
            y = F.where(tensor(outside).reshape(*shape), fill, y)
    return y


@node("Upsample")
def _upsample(
    x: Tensor, factors: Tensor | None = None, *, mode: str = "nearest",
    scales: list[float] | None = None,
) -> Tensor:  # fmt: skip
    each = [float(s) for s in (scales or []) if factors is None] or [
        float(s)
        for s in factors.numpy()  # type: ignore[union-attr]
    ]
    if mode == "nearest" and each[:2] == [1.0, 1.0]:
        return F.interpolate(x, None, tuple(each[2:]), "nearest")
    asked = _Mode(mode, "asymmetric", "floor", -0.75, False, False)
    outs = [math.floor(n * s) for n, s in zip(x.shape, each, strict=True)]
    for a, (out, scale) in enumerate(zip(outs, each, strict=True)):
        if scale != 1:
            x, _ = _resized_axis(x, a, out, scale, asked, (0.0, 1.0))
    return x
