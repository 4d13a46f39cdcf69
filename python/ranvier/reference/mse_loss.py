"""Squared error between a prediction and its target."""

import numpy as np


def mse_loss(input: np.ndarray, target: np.ndarray, reduction: str = "mean") -> np.ndarray:
    """``loss_i = (x_i - t_i)^2``, averaged over all elements, summed, or left alone.

    Args:
        input: prediction, any shape.
        target: target, the same shape.
        reduction: "mean", "sum" or "none".

    Returns:
        A number, or the shape of ``input`` for "none".

    Source: Bishop, Pattern Recognition and Machine Learning, section 1.1; divided by the number of
    elements, without his factor one half.
    """
    losses = (input - target) ** 2
    if reduction == "none":
        return losses
    return np.asarray(losses.sum() if reduction == "sum" else losses.mean())


def mse_loss_backward(
    grad: np.ndarray, input: np.ndarray, target: np.ndarray, reduction: str = "mean"
) -> tuple[np.ndarray, np.ndarray]:
    """``dloss/dx = 2 (x - t)``, over the number of elements for "mean"; by the target, minus it."""
    by_input = grad * 2 * (input - target)
    if reduction == "mean":
        by_input = by_input / input.size
    return by_input, -by_input
