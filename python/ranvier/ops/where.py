"""Choice between two tensors, element by element.

Shapes broadcast as in NumPy, or a ValueError names them; a condition that is no bool is refused
with a TypeError.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function, unbroadcast
from ranvier.tensor import Tensor, attach

Array = _core.Array


class _Where(Function):
    a: Array | None = None  # kept where an argument was broadcast or cast
    b: Array | None = None

    def forward(self, condition: Array, a: Any, b: Any) -> Array:
        y = _core.where(condition, a, b)
        self.save(condition)
        if self.needs[1] and not _core.fits(y, a):
            self.a = a
        if self.needs[2] and not _core.fits(y, b):
            self.b = b
        return y

    def backward(self, grad: Array) -> Any:
        (condition,) = self.saved
        ga = gb = None
        if self.needs[1]:
            ga = _core.where(condition, grad, 0.0)
            ga = ga if self.a is None else unbroadcast(ga, self.a)
        if self.needs[2]:
            gb = _core.where(condition, 0.0, grad)
            gb = gb if self.b is None else unbroadcast(gb, self.b)
        return None, ga, gb


def where(condition: Tensor, a: Any, b: Any) -> Tensor:
    """Takes a where the condition holds, b elsewhere.

    Args:
        condition: a bool tensor; the three shapes broadcast together.
        a: tensor or number.
        b: tensor or number.

    Returns:
        The chosen values, in the broadcast shape. A gradient goes to the side that was chosen.

    Raises:
        TypeError: the condition is not a bool tensor.

    Example:
        >>> import ranvier as rv
        >>> x = rv.tensor([-1.0, 2.0])
        >>> rv.functional.where(x > 0, x, 0.0).tolist()
        [0.0, 2.0]
    """
    if not isinstance(condition, Tensor):
        raise TypeError(
            f"[{_core.op_name()}] expected a tensor as condition, got {type(condition).__name__} - "
            "write `a if condition else b` for a single truth value"
        )
    return _Where.apply(condition, a, b)


@attach("where")
def _where_method(a: Tensor, condition: Tensor, b: Any) -> Tensor:
    """This tensor where the condition holds, b elsewhere; see `functional.where`."""
    return where(condition, a, b)


@attach("masked_fill")
def masked_fill(x: Tensor, mask: Tensor, value: float) -> Tensor:
    """Copies x, with `value` where the mask holds."""
    return where(mask, value, x)
