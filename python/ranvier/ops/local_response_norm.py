"""Local response normalization: neighbouring channels inhibit each other.

Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
networks", NeurIPS 2012, section 3.3.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._arguments import real, whole
from ranvier.tensor import Tensor

Array = _core.Array


class _LocalResponseNorm(Function):
    def forward(self, x: Array, *, window: tuple[Any, ...]) -> Array:
        self.save(x)
        self.window = window
        return _core.local_response_norm(x, *window)

    def backward(self, grad: Array) -> Array:
        (x,) = self.saved
        return _core.local_response_norm_backward(grad, x, *self.window)


def local_response_norm(
    x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Divides by the activity of neighbouring channels at the same position.

    y_c = x_c / (k + alpha / size * sum_j x_j^2)^beta, j from c - size // 2 to c + (size - 1) // 2;
    channels beyond the ends count as zero. As in PyTorch and ONNX, alpha is divided by the size:
    the paper's alpha is alpha / size here.

    Args:
        x: (N, C, ...), floating. The result lies physically channels-last.
        size: number of channels in the window.
        alpha: weight of the window's mean square.
        beta: exponent.
        k: what is added to it; above 0.

    Raises:
        ValueError: a size below 1, or x without channels.
        TypeError: x is not floating.

    Example:
        >>> import ranvier as rv
        >>> x = rv.tensor([[[1.0], [2.0]]])
        >>> rv.functional.local_response_norm(x, 3, alpha=3.0, beta=1.0).tolist()
        [[[0.1666666716337204], [0.3333333432674408]]]
    """
    return _LocalResponseNorm.apply(
        x, window=(whole("size", size), real("alpha", alpha), real("beta", beta), real("k", k))
    )
