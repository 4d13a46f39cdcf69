"""The bilinear map of two vectors: a composite of a product and a sum.

    y_k = sum_ij x1_i w_kij x2_j + b_k

Source: Tenenbaum and Freeman, "Separating style and content with bilinear models", Neural
Computation 12 (2000).
"""

from __future__ import annotations

from ranvier.tensor import Tensor, check_tensors


def bilinear(x1: Tensor, x2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A number from two vectors for each unit: ``y_k = x1' W_k x2 + b_k``.

    Args:
        x1: (..., I).
        x2: (..., J), the same leading axes.
        weight: (K, I, J).
        bias: (K,) or None.

    Returns:
        (..., K).

    Raises:
        ValueError: shapes that do not fit.

    Example:
        >>> import ranvier as rv
        >>> x = rv.tensor([3.0, 4.0])
        >>> rv.functional.bilinear(x, x, rv.eye(2).reshape(1, 2, 2)).tolist()
        [25.0]
    """
    check_tensors(x1, x2, weight, *(() if bias is None else (bias,)))
    if weight.ndim != 3:
        raise ValueError(f"[bilinear] expected a weight of shape (K, I, J), got {weight.shape}")
    units, first, second = weight.shape
    fits = x1.shape[-1:] == (first,) and x2.shape[-1:] == (second,)
    if not fits or x1.shape[:-1] != x2.shape[:-1]:
        raise ValueError(
            f"[bilinear] expected x1 of shape (..., {first}) and x2 of (..., {second}), got "
            f"{x1.shape} and {x2.shape}"
        )
    if bias is not None and bias.shape != (units,):
        raise ValueError(f"[bilinear] expected a bias of shape ({units},), got {bias.shape}")
    maps = weight.permute(1, 0, 2).reshape(first, units * second)
    y: Tensor = ((x1 @ maps).reshape(*x1.shape[:-1], units, second) * x2.unsqueeze(-2)).sum(-1)
    return y if bias is None else y + bias
