"""A layer of neurons: each output is a weighted sum of all inputs plus a bias.

    y = x W' + b        dL/dx = dL/dy W        dL/dW = dL/dy' x        dL/db = sum of dL/dy

Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors",
Nature 323 (1986).
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.tensor import Tensor

Array = _core.Array


class _Linear(Function):
    autocast, halves = "low", True

    def forward(self, x: Array, weight: Array, bias: Array | None) -> Array:
        self.save(x if self.needs[1] else None, weight if self.needs[0] else None)
        return _core.linear(x, weight, bias)

    def backward(self, dy: Array) -> Any:
        x, weight = self.saved
        by_x = by_weight = by_bias = None
        if self.needs[0]:
            by_x = _core.linear_backward_input(dy, weight)
        if self.needs[1] or self.needs[2]:
            by_weight, by_bias = _core.linear_backward_weight(dy, x, self.needs[2])
        return by_x, by_weight, by_bias


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``y = x W' + b``, bias included in the product's kernel.

    Args:
        x: (..., C), float32 or float64.
        weight: (K, C), one neuron a row.
        bias: (K,) or None.

    Returns:
        (..., K).

    Raises:
        ValueError: sizes do not agree.
        TypeError: x is not floating, or weight and bias have another dtype.

    Example:
        >>> import ranvier as rv
        >>> x, w = rv.tensor([[1.0, 2.0]]), rv.tensor([[3.0, 4.0], [5.0, 6.0]])
        >>> rv.functional.linear(x, w, rv.tensor([0.5, 0.0])).tolist()
        [[11.5, 17.0]]
    """
    for name, value in (("x", x), ("weight", weight), ("bias", bias)):
        if not isinstance(value, Tensor) and (value is not None or name != "bias"):
            raise TypeError(
                f"[linear] expected {name} to be a tensor, got {type(value).__name__} - wrap it in "
                "rv.tensor"
            )
    return _Linear.apply(x, weight, bias)
