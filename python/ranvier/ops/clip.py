"""Values limited to an interval."""

from __future__ import annotations

import math
from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._arguments import is_whole, real
from ranvier.tensor import Tensor, attach, check_tensors

Array = _core.Array


class _Clip(Function):
    def forward(self, x: Array, *, low: float, high: float) -> Array:
        self.save(x)
        self.low, self.high = low, high
        return _core.clip(x, low, high)

    def backward(self, grad: Array) -> Array:
        (x,) = self.saved
        return _core.clip_backward(grad, x, self.low, self.high)


class _ClipWhole(Function):
    def forward(self, x: Array, *, low: int, high: int) -> Array:
        return _core.clip_whole(x, low, high)


def _int64(value: Any) -> int:
    """The nearest number of 64 bits."""
    return max(-(2**63), min(2**63 - 1, int(value)))


@attach("clip", "clamp")
def clip(x: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    """Limits each element: y = min(max(x, low), high); either limit may be absent.

    The gradient passes inside the closed interval [min, max] and is 0 outside; NaN passes through.

    Args:
        x: any shape. Integers stay integers where the limits are.
        min: the lower limit.
        max: the upper limit; it wins where it is below the lower one.

    Raises:
        ValueError: neither limit is given.

    Example:
        >>> import ranvier as rv
        >>> rv.tensor([-2.0, 0.5, 3.0]).clip(0, 1).tolist()
        [0.0, 0.5, 1.0]
    """
    if min is None and max is None:
        raise ValueError(
            f"[{_core.op_name()}] expected min, max or both, got neither - give at least one limit"
        )
    check_tensors(x)
    limits = [limit for limit in (min, max) if limit is not None]
    if not x.dtype.is_floating_point:
        if all(is_whole(limit) for limit in limits):
            least = _int64(-(2**63) if min is None else min)
            most = _int64(2**63 - 1 if max is None else max)
            return _ClipWhole.apply(x, low=least, high=most)
        x = Tensor(x.data.cast(0))
    low = -math.inf if min is None else real("min", min)
    high = math.inf if max is None else real("max", max)
    return _Clip.apply(x, low=low, high=high)


clamp = clip
