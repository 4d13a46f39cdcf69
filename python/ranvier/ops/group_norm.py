"""Group normalization: groups of channels of each sample by their own mean and variance.

Source: Wu and He, "Group normalization", ECCV 2018.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._arguments import real, whole
from ranvier.tensor import Tensor

Array = _core.Array


class _GroupNorm(Function):
    autocast = "float32"

    def forward(self, x: Array, weight: Any, bias: Any, *, groups: int, eps: float) -> Array:
        y, mean, invstd = _core.group_norm(x, groups, weight, bias, eps)
        self.save(x, weight, mean, invstd)
        self.groups = groups
        return y

    def backward(self, grad: Array) -> Any:
        x, weight, mean, invstd = self.saved
        want_x, want_weight, want_bias = self.needs
        dx, dweight, dbias = _core.group_norm_backward(
            grad, x, self.groups, weight, mean, invstd, want_x, want_weight or want_bias
        )
        return (
            dx if want_x else None,
            dweight if want_weight else None,
            dbias if want_bias else None,
        )


def group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalizes groups of C / num_groups neighbouring channels of each sample.

    y = (x - mean) / sqrt(variance + eps) * weight + bias, with mean and variance over the group's
    channels and all positions of one sample. One group is layer normalization over (C, ...), C
    groups are instance normalization.

    Args:
        x: (N, C, ...), floating. The result lies as planes
            where x does, else channels-last.
        num_groups: number of groups; it divides C.
        weight: (C) factor of each channel, or None for 1.
        bias: (C) added to each channel, or None for 0.
        eps: keeps the root away from zero.

    Raises:
        ValueError: groups that do not divide the channels, or shapes that differ.
        TypeError: x is not floating, or the dtypes differ.

    Example:
        >>> import ranvier as rv
        >>> x = rv.tensor([[1.0, 3.0, 10.0, 30.0]])
        >>> rv.functional.group_norm(x, 2, eps=0.0).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]
    """
    return _GroupNorm.apply(
        x, weight, bias, groups=whole("num_groups", num_groups), eps=real("eps", eps)
    )
