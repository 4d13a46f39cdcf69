"""Matrix product, batched: C = A B."""

import numpy as np

from .binary import unbroadcast


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``C_ij = sum_k A_ik B_kj``, for each pair of matrices.

    Args:
        a: (..., M, K), or (K,) for a row vector.
        b: (..., K, N), or (K,) for a column vector. Leading axes broadcast.

    Returns:
        (..., M, N); the axis of a vector argument is absent.

    Source: Golub and Van Loan, Matrix Computations, section 1.1.
    """
    return np.matmul(a, b)


def matmul_backward(
    grad: np.ndarray, a: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``dL/dA = dL/dC B'`` and ``dL/dB = A' dL/dC``, summed over the axes that were broadcast."""
    matrix_a = a[None, :] if a.ndim == 1 else a
    matrix_b = b[:, None] if b.ndim == 1 else b
    shape = (
        *np.broadcast_shapes(matrix_a.shape[:-2], matrix_b.shape[:-2]),
        matrix_a.shape[-2],
        matrix_b.shape[-1],
    )
    grad = np.reshape(grad, shape)
    by_a = np.matmul(grad, matrix_b.swapaxes(-1, -2))
    by_b = np.matmul(matrix_a.swapaxes(-1, -2), grad)
    return (
        unbroadcast(by_a, matrix_a.shape).reshape(a.shape),
        unbroadcast(by_b, matrix_b.shape).reshape(b.shape),
    )
