"""Products of matrices."""

from __future__ import annotations

import ranvier.functional as F
from ranvier.io.onnx.graph import node
from ranvier.tensor import Tensor


@node("MatMul")
def _matmul(a: Tensor, b: Tensor) -> Tensor:
    return F.matmul(a, b)


@node("Gemm")
def _gemm(
    a: Tensor, b: Tensor, c: Tensor | None = None, *, alpha: float = 1.0, beta: float = 1.0,
    transA: int = 0, transB: int = 0, broadcast: int = 0,
) -> Tensor:  # fmt: skip
    """alpha A' B' + beta C; where C is a row of biases, by the kernel that adds them itself."""
    a = a.T if transA else a
    weight = b if transB else b.T
    if c is not None and alpha == beta == 1 and c.shape == weight.shape[:1]:
        return F.linear(a, weight, c)
    y = F.linear(a, weight)
    y = y if alpha == 1 else y * alpha
    return y if c is None else y + (c if beta == 1 else c * beta)


@node("Einsum")
def _einsum(*operands: Tensor, equation: str) -> Tensor:
    return F.einsum(equation, *operands)
