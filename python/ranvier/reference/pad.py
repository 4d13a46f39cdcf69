"""Padding at the ends of axes, by NumPy's own pad.

Source: Dumoulin and Visin, A guide to convolution arithmetic for deep learning (2016), section 2.
"""

from collections.abc import Sequence

import numpy as np

MODES = {
    "constant": "constant", "reflect": "reflect", "replicate": "edge", "symmetric": "symmetric",
    "circular": "wrap",
}  # fmt: skip


def pad(
    x: np.ndarray, pad: Sequence[int], mode: str = "constant", value: float = 0.0
) -> np.ndarray:
    """More, or fewer, places on the last axes: (before, after) of the last, then the one before.

    Example:
        >>> pad(np.array([1, 2, 3]), (1, 2), "symmetric")
        array([1, 1, 2, 3, 3, 2])
    """
    pairs = [tuple(pad[i : i + 2]) for i in range(0, len(pad), 2)]
    sides = [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1]
    more = [(max(b, 0), max(a, 0)) for b, a in sides]
    extra = {"constant_values": value} if mode == "constant" else {}
    y = np.pad(x, more, MODES[mode], **extra)  # type: ignore[call-overload]
    return y[tuple(slice(max(-b, 0), a if a < 0 else None) for b, a in sides)]


def pad_backward(
    grad: np.ndarray,
    x: np.ndarray,
    pad: Sequence[int],
    mode: str = "constant",
    value: float = 0.0,
) -> np.ndarray:
    """Each sample gets the sum over the places that hold it: padding sample numbers tells which."""
    holds = globals()["pad"](np.arange(x.size).reshape(x.shape), pad, mode, -1)
    dx = np.zeros(x.size, grad.dtype)
    inside = holds >= 0
    np.add.at(dx, holds[inside], grad[inside])
    return dx.reshape(x.shape)
