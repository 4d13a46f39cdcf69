"""Dropout: each element is dropped with probability p while training, the others are scaled up.

Source: Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting (2014);
the scaling at training time ("inverted dropout") leaves nothing to do at test time.
"""

import numpy as np


def dropout(x: np.ndarray, uniform: np.ndarray, p: float = 0.5) -> np.ndarray:
    """``y = x / (1 - p)`` where uniform >= p, else 0, so that y has the mean of x.

    Args:
        x: any shape.
        uniform: numbers drawn evenly from [0, 1), the shape of ``x``.
        p: the probability to drop, 0 to 1; 1 drops everything.

    Returns:
        The shape of ``x``.
    """
    scale = 0.0 if p == 1 else 1 / (1 - p)
    return np.where(uniform >= p, x * scale, 0.0)


def dropout_backward(
    grad: np.ndarray, x: np.ndarray, uniform: np.ndarray, p: float = 0.5
) -> tuple[np.ndarray, None]:
    """The same mask and scale, applied to the gradient."""
    return dropout(grad, uniform, p), None
