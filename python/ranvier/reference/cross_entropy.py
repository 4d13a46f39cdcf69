"""Cross-entropy of softmax: minus the log-likelihood of the target under the predicted classes.

The target of a sample is a distribution t over the C classes. A class index c is the distribution
that is 1 at c; label smoothing mixes in some of the uniform one. With class weights w, the loss of
a sample is

    loss = - sum_c w_c t_c log softmax(x)_c.

Source: Goodfellow, Bengio and Courville, Deep Learning, section 6.2.2; Szegedy et al., Rethinking
the Inception architecture for computer vision (2016), section 7, for label smoothing.
"""

import numpy as np

from .softmax import log_softmax, log_softmax_backward


def _weighted_targets(
    input: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    ignore_index: int,
    label_smoothing: float,
) -> tuple[np.ndarray, np.ndarray | float]:
    """w_c t_c in the shape of ``input``, and the divisor of the mean.

    The mean over class indices is weighted by the weights of the classes themselves and leaves out
    ignored samples; the mean over probabilities divides by the number of samples.
    """
    classes = input.shape[1]
    w = np.ones(classes, input.dtype) if weight is None else weight
    w_column = w.reshape(1, classes, *[1] * (input.ndim - 2))
    if np.issubdtype(target.dtype, np.integer):
        counted = target != ignore_index
        index = np.where(counted, target, 0)
        t = np.moveaxis(np.eye(classes, dtype=input.dtype)[index], -1, 1)
        divisor = (w[index] * counted).sum()
    else:
        counted = np.ones((input.shape[0], *input.shape[2:]), bool)
        t, divisor = target, float(counted.sum())
    t = (1 - label_smoothing) * t + label_smoothing / classes
    return w_column * t * counted[:, None], divisor


def cross_entropy(
    input: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> np.ndarray:
    """Loss from logits; see the module for the formula.

    Args:
        input: logits, (N, C, ...).
        target: class indices (N, ...), integers; or probabilities (N, C, ...).
        weight: one factor per class, (C,), or None.
        ignore_index: samples with this class index count nothing.
        reduction: "mean", "sum", or "none" for one loss per sample.
        label_smoothing: the part of the uniform distribution in the target, 0 to 1.

    Returns:
        A number, or (N, ...) for "none".

    Example:
        >>> cross_entropy(np.array([[-3.44, 1.16, -0.81, 3.91]]), np.array([1])).round(2).item()
        2.82
    """
    targets, divisor = _weighted_targets(input, target, weight, ignore_index, label_smoothing)
    losses = -(targets * log_softmax(input, dim=1)).sum(axis=1)
    if reduction == "none":
        return losses
    return np.asarray(losses.sum() if reduction == "sum" else losses.sum() / divisor)


def cross_entropy_backward(
    grad: np.ndarray,
    input: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> tuple[np.ndarray, None]:
    """``dloss/dx = sum_c(w_c t_c) softmax(x) - w t``; for plain class indices, y - t.

    The gradient by the target is not defined here: targets are given, not learned.
    """
    targets, divisor = _weighted_targets(input, target, weight, ignore_index, label_smoothing)
    by_loss = grad[:, None] if reduction == "none" else grad
    by_logits = log_softmax_backward(-by_loss * targets, input, dim=1)
    return by_logits / divisor if reduction == "mean" else by_logits, None


def nll_loss(
    input: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> np.ndarray:
    """``-w_t x_t`` for logarithms of probabilities x, (N, C, ...), and class indices t."""
    targets, divisor = _weighted_targets(input, target, weight, ignore_index, 0.0)
    losses = -(targets * input).sum(axis=1)
    if reduction == "none":
        return losses
    return np.asarray(losses.sum() if reduction == "sum" else losses.sum() / divisor)


def nll_loss_backward(
    grad: np.ndarray,
    input: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> tuple[np.ndarray, None]:
    """``-w_t`` at the target, 0 elsewhere."""
    targets, divisor = _weighted_targets(input, target, weight, ignore_index, 0.0)
    by_input = -(grad[:, None] if reduction == "none" else grad) * targets
    return by_input / divisor if reduction == "mean" else by_input, None
