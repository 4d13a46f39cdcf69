"""Choice between two arrays: y = a where the condition holds, else b."""

import numpy as np

from .binary import unbroadcast


def where(condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``y_i = a_i`` where condition_i holds, else ``b_i``.

    Args:
        condition: truth values; the three shapes broadcast together.
        a: values where the condition holds.
        b: values elsewhere.

    Returns:
        The chosen values, in the broadcast shape.
    """
    return np.where(condition, a, b)


def where_backward(
    grad: np.ndarray, condition: np.ndarray, a: np.ndarray, b: np.ndarray
) -> tuple[None, np.ndarray, np.ndarray]:
    """The gradient goes to the argument that was chosen; the condition has none."""
    return (
        None,
        unbroadcast(np.where(condition, grad, 0.0), np.shape(a)),
        unbroadcast(np.where(condition, 0.0, grad), np.shape(b)),
    )
