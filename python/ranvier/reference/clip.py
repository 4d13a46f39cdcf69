"""Values limited to an interval."""

import numpy as np


def clip(x: np.ndarray, min: float | None = None, max: float | None = None) -> np.ndarray:
    """``y = min(max(x, min), max)``; either limit may be absent; NaN passes through.

    Args:
        x: any shape.
        min: lower limit.
        max: upper limit; wins where it is below the lower one.

    Returns:
        The limited values, in the shape of ``x``.
    """
    y = x
    if min is not None:
        y = np.maximum(y, min)
    if max is not None:
        y = np.minimum(y, max)
    return np.array(y)


def clip_backward(
    grad: np.ndarray, x: np.ndarray, min: float | None = None, max: float | None = None
) -> np.ndarray:
    """``dL/dx = dL/dy`` inside the closed interval [min, max], 0 outside."""
    inside = np.ones(x.shape, bool)
    if min is not None:
        inside &= x >= min
    if max is not None:
        inside &= x <= max
    return np.where(inside, grad, 0.0)
