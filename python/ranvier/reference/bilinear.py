"""The bilinear map of two vectors.

Source: Tenenbaum and Freeman, Separating style and content with bilinear models (2000).
"""

import numpy as np


def bilinear(
    x1: np.ndarray, x2: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None
) -> np.ndarray:
    """``y_k = sum_ij x1_i w_kij x2_j + b_k`` for x1 (..., I), x2 (..., J), weight (K, I, J)."""
    y = np.einsum("...i,kij,...j->...k", x1, weight, x2)
    return y if bias is None else y + bias


def bilinear_backward(
    grad: np.ndarray,
    x1: np.ndarray,
    x2: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
) -> tuple[np.ndarray | None, ...]:
    """Each factor gets the sum over the others; the bias the sum over the samples."""
    rows = grad.reshape(-1, grad.shape[-1])
    pairs = np.einsum(
        "nk,ni,nj->kij", rows, x1.reshape(-1, x1.shape[-1]), x2.reshape(-1, x2.shape[-1])
    )
    return (
        np.einsum("...k,kij,...j->...i", grad, weight, x2),
        np.einsum("...k,kij,...i->...j", grad, weight, x1),
        pairs,
        None if bias is None else rows.sum(0),
    )
