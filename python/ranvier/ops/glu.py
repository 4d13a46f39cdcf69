"""The gated linear unit: one half of the channels opens and closes the other.

Source: Dauphin, Fan, Auli and Grangier, "Language modeling with gated convolutional networks", ICML
2017.
"""

from __future__ import annotations

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._arguments import axis_of
from ranvier.tensor import Tensor, attach, check_tensors

Array = _core.Array


class _Glu(Function):
    def forward(self, x: Array, *, dim: int) -> Array:
        self.save(x)
        self.dim = dim
        return _core.glu(x, dim)

    def backward(self, grad: Array) -> Array:
        return _core.glu_backward(grad, self.saved[0], self.dim)


@attach()
def glu(x: Tensor, dim: int = -1) -> Tensor:
    """a sigmoid(b), with a and b the first and second half of x along an axis.

    Args:
        x: any shape, of even size along `dim`.
        dim: the axis that is halved.

    Returns:
        Half of x's size along `dim`.

    Raises:
        ValueError: an odd size.
        IndexError: no such axis.
        TypeError: integers or half precision.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.glu(rv.tensor([4.0, 6.0, 0.0, 100.0])).tolist()
        [2.0, 6.0]
    """
    check_tensors(x)
    axis_of(dim, x.ndim)
    size = x.shape[dim]
    if size % 2:
        raise ValueError(f"[glu] expected an even size along axis {dim}, got {size} in {x.shape}")
    return _Glu.apply(x, dim=dim)
