"""Swish: x times the logistic function of beta x.

Source: Ramachandran, Zoph and Le, Searching for activation functions (2017).
"""

import numpy as np

from .prelu import per_channel, sum_per_channel
from .unary import UNARY


def swish(x: np.ndarray, beta: np.ndarray | float = 1.0) -> np.ndarray:
    """``y = x sigmoid(beta x)``, with beta one number or one per channel (the second axis)."""
    return x * UNARY["sigmoid"].value(per_channel(x, np.asarray(beta)) * x)


def swish_backward(
    grad: np.ndarray, x: np.ndarray, beta: np.ndarray | float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """``s + beta x s (1 - s)`` by x, and ``x^2 s (1 - s)``, added up, by beta."""
    b = per_channel(x, np.asarray(beta))
    s, slope = UNARY["sigmoid"].value(b * x), UNARY["sigmoid"].derivative(b * x)
    return grad * (s + b * x * slope), sum_per_channel(grad * x * x * slope, np.asarray(beta))
