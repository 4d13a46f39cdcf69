"""Cross-entropy of softmax from logits: minus the log-likelihood of the target.

    loss = - sum_c w_c t_c log softmax(x)_c

Value and gradient come from one pass over each row of logits.

Source: Goodfellow, Bengio and Courville, Deep Learning (2016), section 6.2.2; label smoothing:
Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016, section 7.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._arguments import array, real, whole
from ranvier.ops._loss import check_tensors
from ranvier.tensor import Tensor

Array = _core.Array


class _CrossEntropy(Function):
    autocast = "float32"

    def forward(self, x: Array, *, target: Array, weight: Any, options: tuple[Any, ...]) -> Array:
        ignore_index, reduction, smoothing, logarithms = options
        value, scale, dx = _core.cross_entropy(
            x, target, weight, ignore_index, reduction, smoothing, logarithms, self.needs[0]
        )
        if self.needs[0]:
            self.save(dx, scale)
        self.per_sample = value.ndim > 0
        return value

    def backward(self, grad: Array) -> Array:
        dx, scale = self.saved  # d(loss of each sample)/dx, and its part in the whole
        if self.per_sample:
            shape = grad.shape
            return _core.multiply(dx, grad.reshape((shape[0], 1, *shape[1:])))
        return _core.multiply(dx, _core.multiply(grad, scale))


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of the softmax of logits.

    With index targets dloss/dx = softmax(x) - onehot(target).

    Args:
        input: logits (N, C, ...) or (C,).
        target: class indices (N, ...) or (), integers; or probabilities shaped like `input`.
        weight: one factor per class, (C,).
        ignore_index: samples with this class count nothing.
        reduction: "mean" (weighted by the classes' weights), "sum", or "none".
        label_smoothing: part of the target that is spread evenly over all classes, 0 to 1.

    Returns:
        A scalar, or (N, ...) for "none". The target gets no gradient.

    Raises:
        ValueError: shapes that do not fit.
        IndexError: a class that the logits do not have.

    Example:
        >>> import ranvier as rv
        >>> x = rv.tensor([[-3.44, 1.16, -0.81, 3.91]])
        >>> round(rv.functional.cross_entropy(x, rv.tensor([1])).item(), 2)
        2.82
    """
    options = (
        whole("ignore_index", ignore_index),
        reduction,
        real("label_smoothing", label_smoothing),
        False,
    )
    return _per_sample("cross_entropy", input, target, weight, options)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-likelihood of the target, from logarithms of probabilities.

        loss = -w_t x_t,   dloss/dx = -w_t at the target, 0 elsewhere.

    The logarithm is the natural one. `cross_entropy(x, t)` is `nll_loss(log_softmax(x, 1), t)`.

    Args:
        input: log-probabilities (N, C, ...) or (C,).
        target: class indices (N, ...) or (), integers.
        weight: one factor per class, (C,).
        ignore_index: samples with this class count nothing.
        reduction: "mean" (weighted by the classes' weights), "sum", or "none".

    Returns:
        A scalar, or (N, ...) for "none".

    Raises:
        ValueError: shapes that do not fit.
        IndexError: a class that the input does not have.

    Example:
        >>> import ranvier as rv
        >>> x = rv.tensor([[0.0006, 0.0596, 0.0083, 0.9315]]).log()
        >>> round(rv.functional.nll_loss(x, rv.tensor([1])).item(), 2)
        2.82
    """
    options = (whole("ignore_index", ignore_index), reduction, 0.0, True)
    return _per_sample("nll_loss", input, target, weight, options)


def _per_sample(
    op: str, input: Tensor, target: Tensor, weight: Tensor | None, options: tuple[Any, ...]
) -> Tensor:
    check_tensors(op, input=input, target=target)
    if target.requires_grad:
        raise TypeError(
            f"[{op}] expected a given target, got one with requires_grad=True - detach it, or "
            "write -(target * log_softmax(input)).sum()"
        )
    single = input.ndim == 1
    if single:
        input = input.unsqueeze(0)
        target = target.unsqueeze(0)
    w = array("weight", weight)
    loss = _CrossEntropy.apply(input, target=target.data, weight=w, options=options)
    return loss[0] if single and options[1] == "none" else loss
