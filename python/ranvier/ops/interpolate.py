"""Images, sequences and volumes at another size: the nearest sample, or a line between two.

Axis by axis, output i reads the input at

    nearest:                    floor(i scale)
    nearest-exact:              floor((i + 1/2) scale)
    linear:                     max((i + 1/2) scale - 1/2, 0)
    linear, align_corners:      i (size - 1) / (outputs - 1)

with scale = size / outputs (or 1 / scale_factor where that is given); between two samples the
linear modes weight them by their distance. Bilinear and trilinear are linear along each axis.

Source: Odena, Dumoulin and Olah, "Deconvolution and checkerboard artifacts", Distill (2016);
Parker, Kenyon and Troxel, "Comparison of interpolating methods for image resampling", IEEE
Transactions on Medical Imaging 2 (1983).
"""

from __future__ import annotations

import math
from typing import Any

from ranvier import _core
from ranvier.ops._arguments import check_count, real
from ranvier.ops._resample import Resample, Way, places
from ranvier.ops._taps import ReadAxis
from ranvier.ops._windows import per_axis
from ranvier.tensor import Tensor

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def _sizes(
    axes: tuple[int, ...], size: Any, scale_factor: Any
) -> tuple[tuple[int, ...], list[float]]:
    """Output sizes, and the distance of outputs in units of samples."""
    op, n = "interpolate", len(axes)
    if (size is None) == (scale_factor is None):
        raise ValueError(
            f"[{_core.op_name()}] expected either size or scale_factor, got {size}, {scale_factor}"
        )
    if size is not None:
        outputs = per_axis(op, "size", size, n)
        scales = [a / o if o > 0 else 0.0 for a, o in zip(axes, outputs, strict=True)]
    else:
        each = isinstance(scale_factor, (tuple, list))
        factors = [real("scale_factor", f) for f in (scale_factor if each else [scale_factor] * n)]
        if len(factors) != n or not all(0 < f < math.inf for f in factors):
            raise ValueError(
                f"[{_core.op_name()}] expected scale_factor as a number above 0 or {n} of them, "
                f"got {scale_factor!r}"
            )
        outputs = tuple([math.floor(a * f) for a, f in zip(axes, factors, strict=True)])
        scales = [1.0 / f for f in factors]
    if min(outputs) < 1 or min(axes) < 1:
        raise ValueError(
            f"[{_core.op_name()}] expected at least 1 sample along each axis, got {axes} to "
            f"{outputs}"
        )
    return outputs, scales


def interpolate(
    x: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Tensor:
    """Changes the size of the last axes; gradients go back to the samples that were read.

    Args:
        x: (N, C, L), (N, C, H, W) or (N, C, D, H, W).
        size: sizes of the output, a number or one for each axis.
        scale_factor: instead of size: output sizes are floor(size * scale_factor).
        mode: "nearest", "nearest-exact", or "linear", "bilinear", "trilinear" by the number of
            axes ("linear" means the one that fits).
        align_corners: the first and last samples of input and output coincide; else the edges of
            first and last pixel do. Linear modes only.

    Returns:
        (N, C, ...) of the new size.

    Raises:
        ValueError: neither or both of size and scale_factor; an unknown mode; an empty axis.

    Example:
        >>> import ranvier as rv
        >>> x = rv.tensor([[[0.0, 3.0]]])
        >>> rv.functional.interpolate(x, 4, mode="linear", align_corners=True).tolist()
        [[[0.0, 1.0, 2.0, 3.0]]]
    """
    if not isinstance(x, Tensor):
        raise TypeError(
            f"[{_core.op_name()}] expected a tensor, got {type(x).__name__} - wrap it in rv.tensor"
        )
    n = x.ndim - 2
    if n not in (1, 2, 3):
        raise ValueError(f"[{_core.op_name()}] expected x of shape (N, C, H, W), got {x.shape}")
    linear = mode in ("linear", LINEAR[n])
    if not linear and mode not in ("nearest", "nearest-exact"):
        raise ValueError(
            f"[{_core.op_name()}] expected mode 'nearest', 'nearest-exact' or {LINEAR[n]!r} for x "
            f"of shape {x.shape}, got {mode!r}"
        )
    if align_corners and not linear:
        raise ValueError(
            f"[{_core.op_name()}] expected align_corners with a linear mode, got {mode!r}"
        )
    if linear and not x.dtype.is_floating_point:
        raise TypeError(f"[{_core.op_name()}] expected x of a floating dtype, got {x.dtype.name}")
    outputs, scales = _sizes(x.shape[2:], size, scale_factor)
    check_count((*x.shape[:2], *outputs))
    ways = []
    for size_in, out, scale in zip(x.shape[2:], outputs, scales, strict=True):
        if linear:
            ways.append(Way("linear", size_in, out, (scale, align_corners)))
        else:
            shift = 0.5 if mode == "nearest-exact" else 0.0
            ways.append(Way("nearest", size_in, out, (scale, shift)))
    if x.dtype.name in ("float32", "float64"):
        return Resample.apply(x, axis=2, ways=tuple(ways))
    for axis, way in enumerate(ways, 2):  # the nearest samples of other dtypes are copied
        x = ReadAxis.apply(x, axis=axis, places=places(way))
    return x


def upsample(
    x: Tensor,
    scale_factor: Any,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Tensor:
    """`interpolate` by a factor.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.upsample(rv.tensor([[[1.0, 2.0]]]), 2).tolist()
        [[[1.0, 1.0, 2.0, 2.0]]]
    """
    return interpolate(x, None, scale_factor, mode, align_corners)
