"""Error bounds that the normalization rooms share.

With n = (x - mean) / std over a set of numbers, y = n w + b is computed as (x - mean) (w / std) +
b: a few roundings of each factor, of the mean (of the size of a deviation, since sums are taken
about a number near the mean) and of b. The gradient dx = (w g - mean(w g) - n mean(w g n)) / std
carries a few roundings of each of its terms, and so do the sums of g n and of g.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

ROUNDINGS = 4


class Sizes(NamedTuple):
    """What errors are relative to: of y, of dx, and of the terms of dweight and dbias."""

    value: np.ndarray
    dx: np.ndarray
    dweight: np.ndarray
    dbias: np.ndarray


def sizes(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    eps: float,
    sets: Callable[[np.ndarray], np.ndarray],
    back: Callable[[np.ndarray], np.ndarray],
    grad: np.ndarray | None = None,
    center: bool = True,
) -> Sizes:
    """Sizes for numbers that are normalized in sets.

    Args:
        x: the numbers.
        weight: shaped to broadcast against x.
        bias: the same.
        eps: added to the variance.
        sets: x -> (sets, members).
        back: (sets, members) -> x.
        grad: the upstream gradient.
        center: whether the mean is taken away.
    """
    rows, weight = sets(x), np.abs(weight)
    if center:
        rows = rows - rows.mean(axis=1, keepdims=True)
    scale = 1.0 / np.sqrt((rows**2).mean(axis=1, keepdims=True) + eps)
    n = back(1.0 + np.abs(rows * scale))
    g = np.zeros(x.shape) if grad is None else np.abs(grad)
    inner = sets(g * weight)
    mean, slope = inner.mean(axis=1, keepdims=True), (inner * sets(n)).mean(axis=1, keepdims=True)
    dx = back((inner + mean + sets(n) * slope) * scale)
    return Sizes(weight * n + np.abs(bias), dx, g * n, g)
