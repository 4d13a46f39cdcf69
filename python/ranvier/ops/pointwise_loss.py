"""Losses that compare each element of a prediction with its own target: one kernel for all.

Value and gradient are one pass each over prediction and target, which is all that backward needs.
NaN passes through. Where a slope does not exist it is the one named in the docstring.

Sources: Bishop, Pattern Recognition and Machine Learning (2006), sections 1.1 and 4.3.2; Hastie,
Tibshirani and Friedman, The Elements of Statistical Learning (2009), section 10.6.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._arguments import real
from ranvier.ops._loss import (
    check_floating,
    check_reduction,
    check_same_shape,
    check_tensors,
    reduced,
)
from ranvier.tensor import Tensor

Array = _core.Array
_SQUARED, _ABSOLUTE, _SMOOTH, _BINARY, _LOGITS = (
    _core.POINTWISE_LOSS[name]
    for name in (
        "squared_error", "absolute_error", "smooth_l1", "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
    )
)  # fmt: skip


class _PointwiseLoss(Function):
    """Losses of x - t, whose gradient by t is minus that by x; and the binary cross-entropies."""

    autocast = "float32"

    def forward(
        self, x: Array, t: Array, *, op: str, loss: tuple[int, float, float], reduction: str
    ) -> Any:
        self.save(x, t)
        self.loss = code, a, b = loss
        losses = _core.pointwise_loss(op, x, t, code, a, b)
        self.scale = 1.0 / max(losses.size, 1) if reduction == "mean" else 1.0
        if reduction == "none":
            return losses
        return (_core.mean if reduction == "mean" else _core.sum)(losses, None, False)

    def backward(self, grad: Array) -> Any:
        x, t = self.saved
        code, a, b = self.loss
        dx = dt = None
        if self.needs[0] or code not in (_BINARY, _LOGITS):
            dx = _core.pointwise_loss_backward(grad, x, t, code, a, b, self.scale)
        if self.needs[1]:
            if code == _LOGITS:  # log(1 - sigmoid(x)) - log(sigmoid(x)) = -x
                dt = _core.multiply(_core.multiply(grad, -self.scale), x)
            elif code == _BINARY:
                yes = _core.maximum(_core.log(x), -100.0)
                no = _core.maximum(_core.log(_core.subtract(1.0, x)), -100.0)
                dt = _core.multiply(_core.multiply(grad, self.scale), _core.subtract(no, yes))
            else:
                dt = _core.multiply(dx, -1.0)
            dt = dt.cast(t.dtype)
        return None if dx is None else dx.cast(x.dtype), dt


def _loss(
    op: str,
    input: Tensor,
    target: Tensor,
    reduction: str,
    code: int,
    a: float = 0.0,
    b: float = 0.0,
) -> Tensor:
    check_tensors(op, input=input, target=target)
    check_reduction(op, reduction)
    return _PointwiseLoss.apply(input, target, op=op, loss=(code, a, b), reduction=reduction)


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The squared error loss_i = (x_i - t_i)^2, averaged over all elements, summed, or as it is.

    The gradient by x_i is 2 (x_i - t_i), over the number of elements for "mean"; by t_i minus that.

    Args:
        input: prediction, any shape.
        target: the same shape.
        reduction: "mean", "sum" or "none".

    Returns:
        A scalar, or the shape of `input` for "none".

    Raises:
        ValueError: different shapes, or another reduction.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.mse_loss(rv.tensor([1.0, 2.0]), rv.tensor([1.0, 4.0])).item()
        2.0
    """
    return _loss("mse_loss", input, target, reduction, _SQUARED, b=1.0)


def half_squared_error(input: Tensor, target: Tensor, reduction: str = "sum") -> Tensor:
    """Half the squared error, (x_i - t_i)^2 / 2, whose gradient is the plain error x_i - t_i.

    Arguments, result and errors as for `mse_loss`, but summed unless told otherwise.

    Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors",
    Nature 323 (1986), equation 3.
    """
    return _loss("half_squared_error", input, target, reduction, _SQUARED, b=0.5)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The absolute error ``|x_i - t_i|``; its slope is the sign of x_i - t_i, 0 at 0.

    Arguments, result and errors as for `mse_loss`.
    """
    return _loss("l1_loss", input, target, reduction, _ABSOLUTE)


def smooth_l1_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """The absolute error with its corner rounded off: with d = x_i - t_i,

        ``loss = d^2 / (2 beta) for |d| < beta, else |d| - beta / 2``.

    Args:
        input: prediction, any shape.
        target: the same shape.
        reduction: "mean", "sum" or "none".
        beta: where the parabola ends; 0 gives `l1_loss`.

    Raises:
        ValueError: different shapes, another reduction, or beta below 0.

    Source: Girshick, "Fast R-CNN", ICCV (2015), equation 3.
    """
    beta = real("beta", beta)
    if not beta >= 0:
        raise ValueError(f"[smooth_l1_loss] expected beta of at least 0, got {beta}")
    return _loss("smooth_l1_loss", input, target, reduction, _SMOOTH, beta, 1.0)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """A parabola near 0 and straight lines beyond: with d = x_i - t_i,

        ``loss = d^2 / 2 for |d| <= delta, else delta (|d| - delta / 2)``.

    It is delta times `smooth_l1_loss` of beta = delta.

    Args:
        input: prediction, any shape.
        target: the same shape.
        reduction: "mean", "sum" or "none".
        delta: where the parabola ends.

    Raises:
        ValueError: different shapes, another reduction, or a delta that is not positive.

    Source: Huber, "Robust estimation of a location parameter", Annals of Statistics 53 (1964).
    """
    delta = real("delta", delta)
    if not delta > 0:
        raise ValueError(f"[huber_loss] expected delta above 0, got {delta}")
    return _loss("huber_loss", input, target, reduction, _SMOOTH, delta, delta)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Minus the log-likelihood of truth values t under probabilities x:

        loss = -(t log x + (1 - t) log(1 - x)).

    Both logarithms are limited to -100, so that a certain and wrong prediction costs a finite loss;
    the slope is (x - t) / max(x (1 - x), 1e-12). Where x is the logistic function of a score, use
    `binary_cross_entropy_with_logits`, which loses nothing.

    Args:
        input: probabilities from 0 to 1, any shape; NaN comes out for others.
        target: the same shape, 0 to 1.
        weight: a factor for each element, of a shape that broadcasts to the input's.
        reduction: "mean", "sum" or "none".

    Returns:
        A scalar, or the shape of `input` for "none".

    Raises:
        ValueError: different shapes, or another reduction.

    Example:
        >>> import ranvier as rv
        >>> x, t = rv.tensor([0.5, 0.25]), rv.tensor([1.0, 0.0])
        >>> round(rv.functional.binary_cross_entropy(x, t).item(), 4)
        0.4904
    """
    op = "binary_cross_entropy"
    if weight is None:
        return _loss(op, input, target, reduction, _BINARY)
    check_reduction(op, reduction)
    return reduced(_weighted(op, _loss(op, input, target, "none", _BINARY), weight), reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy of the logistic function of scores x, without overflow or cancellation:

        loss = t log(1 + e^-x) + (1 - t) log(1 + e^x),   dloss/dx = sigmoid(x) - t.

    Args:
        input: scores, any shape.
        target: the same shape, 0 to 1.
        weight: a factor for each element, of a shape that broadcasts to the input's.
        reduction: "mean", "sum" or "none".
        pos_weight: a factor for the first term, usually negatives / positives of each class; of a
            shape that broadcasts to the input's.

    Returns:
        A scalar, or the shape of `input` for "none".

    Raises:
        ValueError: different shapes, or another reduction.

    Example:
        >>> import ranvier as rv
        >>> x, t = rv.tensor([0.0, 1e4, -1e4]), rv.tensor([1.0, 1.0, 1.0])
        >>> rv.functional.binary_cross_entropy_with_logits(x, t, reduction="none").tolist()
        [0.6931471824645996, 0.0, 10000.0]
    """
    op = "binary_cross_entropy_with_logits"
    if weight is None and pos_weight is None:
        return _loss(op, input, target, reduction, _LOGITS)
    check_reduction(op, reduction)
    if pos_weight is None:
        losses = _loss(op, input, target, "none", _LOGITS)
    else:
        check_tensors(op, input=input, target=target)
        check_same_shape(op, input, target)
        positive = _weighted(op, target * input.logsigmoid(), pos_weight, "pos_weight")
        losses = -(positive + (1.0 - target) * (-input).logsigmoid())
    return reduced(losses if weight is None else _weighted(op, losses, weight), reduction)


def _weighted(op: str, losses: Tensor, weight: Tensor, name: str = "weight") -> Tensor:
    check_tensors(op, **{name: weight})
    weighted = losses * weight
    if weighted.shape != losses.shape:
        raise ValueError(
            f"[{op}] expected {name} of a shape that broadcasts to {losses.shape}, got "
            f"{weight.shape}"
        )
    return weighted


def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """One yes-or-no question per class: the mean of their binary cross-entropies.

        loss_n = 1/C sum_c w_c (t_nc log(1 + e^-x_nc) + (1 - t_nc) log(1 + e^x_nc))

    Args:
        input: scores (..., C).
        target: the same shape, 1 for each class that is present, else 0.
        weight: a factor per class, (C,).
        reduction: of the samples: "mean", "sum" or "none".

    Returns:
        A scalar, or (...) for "none".

    Raises:
        ValueError: different shapes, no axis of classes, or another reduction.
    """
    op = "multilabel_soft_margin_loss"
    check_reduction(op, reduction)
    losses = _loss(op, input, target, "none", _LOGITS)
    if not losses.shape:
        raise ValueError(f"[{op}] expected input of shape (..., C), got a scalar")
    losses = losses if weight is None else _weighted(op, losses, weight)
    return reduced(losses.mean(-1), reduction)


def weighted_mse_loss(input: Tensor, target: Tensor, ratio: float = 0.05) -> Tensor:
    """Squared error with a weight of its own for each of two very unequal classes.

    With targets t_i of 1 (rare, such as a lesion's pixels) and 0 (all others),

        loss = r sum_i t_i (x_i - t_i)^2 / sum_i t_i
             + (1 - r) sum_i (1 - t_i) (x_i - t_i)^2 / sum_i (1 - t_i):

    the mean squared error among the positives (sensitivity) and that among the negatives
    (specificity), in the ratio r to 1 - r. Targets between 0 and 1 count for both, in part. A class
    that does not occur contributes 0.

    Args:
        input: prediction, any shape.
        target: the same shape, 0 to 1; no gradient flows to it.
        ratio: the sensitivity ratio r, 0 to 1; 1/2 treats both classes alike.

    Returns:
        A scalar.

    Raises:
        ValueError: different shapes, or a ratio outside [0, 1].
        TypeError: input or target is not floating.

    Source: Brosch et al., "Deep convolutional encoder networks for multiple sclerosis lesion
    segmentation", MICCAI (2015), equation 4.

    Example:
        >>> import ranvier as rv
        >>> x, t = rv.zeros(4), rv.tensor([1.0, 0.0, 0.0, 0.0])
        >>> rv.functional.weighted_mse_loss(x, t, 0.25).item()
        0.25
    """
    op = "weighted_mse_loss"
    check_tensors(op, input=input, target=target)
    check_same_shape(op, input, target)
    check_floating(op, input=input, target=target)
    ratio = real("ratio", ratio)
    if not 0.0 <= ratio <= 1.0:
        raise ValueError(f"[{op}] expected a ratio from 0 to 1, got {ratio}")
    positive = target.detach()
    negative = 1.0 - positive
    sensitivity = positive * (ratio / _count(positive))
    specificity = negative * ((1.0 - ratio) / _count(negative))
    squares = _loss(op, input, positive, "none", _SQUARED, b=1.0)
    return (squares * (sensitivity + specificity)).sum()


def _count(members: Tensor) -> Tensor:
    """How many there are; 1 in place of 0, where nothing is to be divided."""
    total = members.sum()
    return total + (total == 0).to(total.dtype)
