"""Cross-entropy of softmax: minus the log-likelihood of the target under the predicted classes.

Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 6.2.2; Szegedy et al.,
"Rethinking the Inception architecture for computer vision", CVPR (2016), section 7, for label
smoothing.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.tensor import Tensor

Array = _core.Array


class _CrossEntropy(Function):
    """One kernel gives the loss and its gradient; backward only scales the gradient."""

    def forward(
        self, x: Array, target: Array, weight: Array | None, *, options: tuple[int, str, float]
    ) -> Array:
        ignore_index, reduction, smoothing = options
        loss, dx = _core.cross_entropy(
            x, target, weight, ignore_index, reduction, smoothing, self.needs[0]
        )
        self.save(dx)
        return loss

    def backward(self, grad: Array) -> Any:
        (dx,) = self.saved
        if grad.ndim == dx.ndim - 1 and grad.ndim:  # one loss for each sample
            shape = grad.shape
            grad = grad.reshape((shape[0], 1, *shape[1:]))
        return _core.multiply(dx, grad), None, None


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The loss of classifiers: softmax and log-likelihood in one, from logits.

    For a class t: loss = -w_t log softmax(x)_t; for probabilities t_c: loss = -sum_c w_c t_c
    log softmax(x)_c. The gradient by the logits is softmax(x) - t where all weights are 1.

    Args:
        input: logits, (N, C) or (N, C, d1, ...), or (C,) for one sample.
        target: classes, integers (N, d1, ...); or probabilities of the shape of `input`, which
            get no gradient.
        weight: one factor for each class, (C,), given and not learned.
        ignore_index: samples of this class count nothing.
        reduction: "mean" (over classes: weighted by the weights of the samples' classes, without
            the ignored ones; over probabilities: divided by the number of samples), "sum", or
            "none" for one loss for each sample.
        label_smoothing: the part of the uniform distribution mixed into the target, 0 to 1.

    Returns:
        A scalar, or (N, d1, ...) for "none".

    Raises:
        IndexError: a class that is not from 0 to C - 1.
        ValueError: shapes that do not belong together.
        TypeError: a dtype that is neither of the two, or a target that requires a gradient.

    Example:
        >>> import ranvier as rv
        >>> logits = rv.tensor([[-3.44, 1.16, -0.81, 3.91]])
        >>> round(rv.functional.cross_entropy(logits, rv.tensor([1])).item(), 2)
        2.82
    """
    if target.requires_grad or (weight is not None and weight.requires_grad):
        raise TypeError(
            "[cross_entropy] expected a target and weights without gradient, got one with "
            "requires_grad=True - detach() it: they are given, not learned"
        )
    options = (ignore_index, reduction, float(label_smoothing))
    return _CrossEntropy.apply(input, target, weight, options=options)
