"""Root-mean-square normalization: layer normalization without the mean.

Source: Zhang and Sennrich, "Root mean square layer normalization", NeurIPS 2019.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.dtypes import float64
from ranvier.ops._arguments import real, sizes
from ranvier.tensor import Tensor, check_tensors

Array = _core.Array


class _RMSNorm(Function):
    autocast = "first"

    def forward(self, x: Array, weight: Any, *, shape: tuple[int, ...], eps: float) -> Array:
        y, scale = _core.rms_norm(x, shape, weight, eps)
        self.save(x, weight, scale)
        self.shape = shape
        return y

    def backward(self, grad: Array) -> Any:
        x, weight, scale = self.saved
        want_x, want_weight = self.needs
        dx, dweight = _core.rms_norm_backward(grad, x, weight, scale, self.shape, want_weight)
        return dx if want_x else None, dweight if want_weight else None


def rms_norm(
    x: Tensor,
    normalized_shape: int | tuple[int, ...],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Scales to a mean square of one over the last axes: y = x / sqrt(mean(x^2) + eps) * weight.

    Args:
        x: ``(..., *normalized_shape)``, floating.
        normalized_shape: sizes of the axes that share a mean square.
        weight: factor of each element of normalized_shape, or None for 1.
        eps: keeps the root away from zero; by default the spacing of x's dtype at 1, as in PyTorch.

    Raises:
        ValueError: x or weight do not end in normalized_shape.
        TypeError: x is not floating, or the dtypes differ.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.rms_norm(rv.tensor([[1.0, 7.0]]), 2, eps=0.0).tolist()
        [[0.20000000298023224, 1.399999976158142]]
    """
    check_tensors(x)
    shape = sizes("normalized_shape", normalized_shape)
    if eps is None:
        eps = 2.0**-52 if x.dtype == float64 else 2.0**-23
    return _RMSNorm.apply(x, weight, shape=shape, eps=real("eps", eps))
