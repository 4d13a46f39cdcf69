"""The gated linear unit.

Source: Dauphin et al., Language modeling with gated convolutional networks (2017).
"""

import numpy as np

from .unary import UNARY


def glu(x: np.ndarray, dim: int = -1) -> np.ndarray:
    """``a sigmoid(b)``, with a and b the halves of x along ``dim``."""
    a, b = np.split(x, 2, axis=dim)
    return a * UNARY["sigmoid"].value(b)


def glu_backward(grad: np.ndarray, x: np.ndarray, dim: int = -1) -> np.ndarray:
    """``g sigmoid(b)`` by a, ``g a sigmoid'(b)`` by b."""
    a, b = np.split(x, 2, axis=dim)
    return np.concatenate(
        [grad * UNARY["sigmoid"].value(b), grad * a * UNARY["sigmoid"].derivative(b)], axis=dim
    )
