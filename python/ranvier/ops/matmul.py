"""Products of matrices and vectors, batched: C = A B.

The kernels are our own blocked micro-kernels, one set per instruction set (csrc/ops/gemm_impl.h).
Source: Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34
(2008); the gradient is in Giles, "Collected matrix derivative results for forward and reverse mode
algorithmic differentiation" (2008), section 2.2.2.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.tensor import Tensor, attach

Array = _core.Array


def _summed(grad: Array, shape: tuple[int, ...], dtype: int) -> Array:
    """The gradient of an operand of this shape: summed over the axes that were broadcast."""
    return (grad if grad.shape == shape else _core.sum_to(grad, shape)).cast(dtype)


class _Matmul(Function):
    autocast, halves = "low", True

    def forward(self, a: Array, b: Array) -> Array:
        by_a, by_b = self.needs
        if by_a or by_b:  # each gradient needs the other operand
            self.save(a if by_b else None, b if by_a else None)
            self.a, self.b = (a.shape, a.dtype), (b.shape, b.dtype)
        return _core.matmul(a, b)

    def backward(self, grad: Array) -> Any:
        a, b = self.saved
        by_a = by_b = None
        if self.needs[0]:  # dL/dA = dL/dC B'
            by_a = _summed(_core.matmul_backward_left(grad, b, len(self.a[0])), *self.a)
        if self.needs[1]:  # dL/dB = A' dL/dC
            by_b = _summed(_core.matmul_backward_right(grad, a, len(self.b[0])), *self.b)
        return by_a, by_b


@attach("matmul", "__matmul__")
def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Matrix product ``C_ij = sum_k A_ik B_kj``, for each pair of matrices of a batch.

    Args:
        a: (..., M, K), or a vector (K,), which counts as a row.
        b: (..., K, N), or a vector (K,), which counts as a column. Leading axes broadcast as in
            NumPy; dtypes promote as in PyTorch.

    Returns:
        (..., M, N); the axis of a vector operand is absent. Written ``a @ b``.

    Raises:
        ValueError: K differs, leading axes do not broadcast, or an operand is a scalar.
        TypeError: a dtype that has no product (bool, half precision).

    Example:
        >>> import ranvier as rv
        >>> a = rv.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> (a @ rv.tensor([1.0, 1.0])).tolist()
        [3.0, 7.0]
    """
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        other = b if isinstance(a, Tensor) else a
        raise TypeError(
            f"[matmul] expected two tensors, got {type(other).__name__} - wrap it in rv.tensor"
        )
    return _Matmul.apply2(a, b)


@attach("__rmatmul__")
def _rmatmul(b: Tensor, a: Any) -> Tensor:
    return matmul(a, b)
