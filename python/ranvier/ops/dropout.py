"""Dropout: while training, each element is dropped with probability p.

Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a simple way to
prevent neural networks from overfitting", JMLR 15 (2014). What stays is scaled up while training
("inverted dropout"), so that there is nothing to do at test time.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core, random
from ranvier.autograd import Function
from ranvier.tensor import Tensor, check_tensors

Array = _core.Array
_FLOAT64 = 1


class _Dropout(Function):
    autocast = "first"

    def forward(self, x: Array, p: Array) -> Array:
        y, mask = _core.dropout(x, p, random.state_of(x.device))
        self.save(mask)
        self.p = p
        return y

    def backward(self, grad: Array) -> Any:
        (mask,) = self.saved
        return _core.dropout_backward(grad, mask, self.p), None


def dropout(
    x: Tensor, p: float | Tensor = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Sets elements to 0 with probability p and divides the others by 1 - p, while training.

    The mean over all draws is x. The gradient takes the same mask and scale. Element i in
    row-major order is decided by word i of the generator, whatever the memory layout.

    Args:
        x: any shape, floating.
        p: the probability to drop, 0 to 1; a tensor of one number may change from step to step
            of a captured function.
        training: without it x comes back as it is.
        inplace: makes no difference; the result is a tensor of its own.

    Raises:
        ValueError: p is not from 0 to 1.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.dropout(rv.ones(3), 0.5, training=False).tolist()
        [1.0, 1.0, 1.0]
    """
    check_tensors(x)
    if isinstance(p, Tensor):
        array = p.data.cast(_FLOAT64)
    elif 0 <= p <= 1:
        array = _core.scalar(float(p), _FLOAT64, x.data.device)
    else:
        raise ValueError(f"[dropout] expected a probability p from 0 to 1, got {p}")
    return _Dropout.apply(x, array) if training else x
