"""A layer of neurons: each output is a weighted sum of all inputs plus a bias."""

import math

import numpy as np


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """``Y = X W' + b``.

    Args:
        x: (..., D_in), one sample a row.
        weight: (D_out, D_in), one neuron a row.
        bias: (D_out,) or None.

    Returns:
        (..., D_out).
    """
    y = x @ weight.T
    return y if bias is None else y + bias


def linear_backward(
    grad: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None
) -> tuple[np.ndarray, ...]:
    """``dL/dX = dL/dY W``, ``dL/dW = dL/dY' X`` and ``dL/db = sum of dL/dY over the samples``.

    Source: Rumelhart, Hinton and Williams, Learning representations by back-propagating errors
    (1986).
    """
    samples = math.prod(x.shape[:-1])
    grad_rows = grad.reshape(samples, grad.shape[-1])  # (samples, D_out)
    x_rows = x.reshape(samples, x.shape[-1])  # (samples, D_in)
    by_x = grad @ weight
    by_weight = grad_rows.T @ x_rows
    if bias is None:
        return by_x, by_weight
    return by_x, by_weight, grad_rows.sum(axis=0)
