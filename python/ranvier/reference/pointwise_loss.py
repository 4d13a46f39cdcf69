"""Losses that compare each element of a prediction x with its own target t.

``reduction`` averages the losses over all elements ("mean"), sums them ("sum") or leaves them alone
("none").

Sources: Bishop, Pattern Recognition and Machine Learning, sections 1.1 and 4.3.2; Huber, Robust
estimation of a location parameter (1964); Girshick, Fast R-CNN (2015); Brosch et al., Deep
convolutional encoder networks for multiple sclerosis lesion segmentation (2015).
"""

import numpy as np


def _reduce(losses: np.ndarray, reduction: str) -> np.ndarray:
    if reduction == "none":
        return losses
    return np.asarray(losses.sum() if reduction == "sum" else losses.mean())


def _share(grad: np.ndarray, x: np.ndarray, reduction: str) -> np.ndarray:
    """The gradient that reaches each element's own loss."""
    return grad / x.size if reduction == "mean" else grad * np.ones_like(x)


def mse_loss(input: np.ndarray, target: np.ndarray, reduction: str = "mean") -> np.ndarray:
    """``loss_i = (x_i - t_i)^2``.

    Args:
        input: prediction, any shape.
        target: target, the same shape.
        reduction: "mean", "sum" or "none".

    Returns:
        A number, or the shape of ``input`` for "none".
    """
    return _reduce((input - target) ** 2, reduction)


def mse_loss_backward(
    grad: np.ndarray, input: np.ndarray, target: np.ndarray, reduction: str = "mean"
) -> tuple[np.ndarray, np.ndarray]:
    """``dloss/dx = 2 (x - t)``, over the number of elements for "mean"; by the target, minus it."""
    by_input = _share(grad, input, reduction) * 2 * (input - target)
    return by_input, -by_input


def half_squared_error(input: np.ndarray, target: np.ndarray, reduction: str = "sum") -> np.ndarray:
    """``loss_i = (x_i - t_i)^2 / 2``."""
    return _reduce((input - target) ** 2 / 2, reduction)


def half_squared_error_backward(
    grad: np.ndarray, input: np.ndarray, target: np.ndarray, reduction: str = "sum"
) -> tuple[np.ndarray, np.ndarray]:
    """``dloss/dx = x - t``; by the target, minus it."""
    by_input = _share(grad, input, reduction) * (input - target)
    return by_input, -by_input


def l1_loss(input: np.ndarray, target: np.ndarray, reduction: str = "mean") -> np.ndarray:
    """``loss_i = |x_i - t_i|``."""
    return _reduce(np.abs(input - target), reduction)


def l1_loss_backward(
    grad: np.ndarray, input: np.ndarray, target: np.ndarray, reduction: str = "mean"
) -> tuple[np.ndarray, np.ndarray]:
    """``dloss/dx = sign(x - t)``, 0 where they are equal; by the target, minus it."""
    by_input = _share(grad, input, reduction) * np.sign(input - target)
    return by_input, -by_input


def smooth_l1_loss(
    input: np.ndarray, target: np.ndarray, reduction: str = "mean", beta: float = 1.0
) -> np.ndarray:
    """``d^2 / (2 beta)`` for ``|d| < beta``, else ``|d| - beta / 2``, with d = x - t."""
    d = np.abs(input - target)
    parabola = 0.5 * d**2 / beta if beta else d
    return _reduce(np.where(d < beta, parabola, d - 0.5 * beta), reduction)


def smooth_l1_loss_backward(
    grad: np.ndarray,
    input: np.ndarray,
    target: np.ndarray,
    reduction: str = "mean",
    beta: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """``d / beta`` inside, the sign of d outside; by the target, minus it."""
    d = input - target
    inside = d / beta if beta else d
    slope = np.where(np.abs(d) < beta, inside, np.sign(d))
    by_input = _share(grad, input, reduction) * slope
    return by_input, -by_input


def huber_loss(
    input: np.ndarray, target: np.ndarray, reduction: str = "mean", delta: float = 1.0
) -> np.ndarray:
    """``d^2 / 2`` for ``|d| <= delta``, else ``delta (|d| - delta / 2)``, with d = x - t."""
    d = np.abs(input - target)
    return _reduce(np.where(d <= delta, 0.5 * d**2, delta * (d - 0.5 * delta)), reduction)


def huber_loss_backward(
    grad: np.ndarray,
    input: np.ndarray,
    target: np.ndarray,
    reduction: str = "mean",
    delta: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """d, limited to [-delta, delta]; by the target, minus it."""
    by_input = _share(grad, input, reduction) * np.clip(input - target, -delta, delta)
    return by_input, -by_input


def binary_cross_entropy(
    input: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    reduction: str = "mean",
) -> np.ndarray:
    """``-w (t log x + (1 - t) log(1 - x))`` for probabilities x, logarithms limited to -100.

    Example:
        >>> binary_cross_entropy(np.array([0.5, 0.25]), np.array([1.0, 0.0])).round(4).item()
        0.4904
    """
    with np.errstate(divide="ignore"):
        yes, no = np.maximum(np.log(input), -100), np.maximum(np.log1p(-input), -100)
    w = 1.0 if weight is None else weight
    return _reduce(-w * (target * yes + (1 - target) * no), reduction)


def binary_cross_entropy_backward(
    grad: np.ndarray,
    input: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    reduction: str = "mean",
) -> tuple[np.ndarray, np.ndarray]:
    """``w (x - t) / (x (1 - x))``; by the target, ``w (log(1 - x) - log x)``."""
    share = _share(grad, input, reduction) * (1.0 if weight is None else weight)
    by_input = share * (input - target) / np.maximum(input * (1 - input), 1e-12)
    yes, no = np.maximum(np.log(input), -100), np.maximum(np.log1p(-input), -100)
    return by_input, share * (no - yes)


def _softplus(x: np.ndarray) -> np.ndarray:
    """``log(1 + exp(x))`` without overflow."""
    return np.logaddexp(0, x)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-x))`` without overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def binary_cross_entropy_with_logits(
    input: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    reduction: str = "mean",
    pos_weight: np.ndarray | None = None,
) -> np.ndarray:
    """``w (p t log(1 + e^-x) + (1 - t) log(1 + e^x))`` for scores x; p is ``pos_weight``."""
    w = 1.0 if weight is None else weight
    p = 1.0 if pos_weight is None else pos_weight
    return _reduce(
        w * (p * target * _softplus(-input) + (1 - target) * _softplus(input)), reduction
    )


def binary_cross_entropy_with_logits_backward(
    grad: np.ndarray,
    input: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    reduction: str = "mean",
    pos_weight: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """``w ((1 - t) sigmoid(x) - p t sigmoid(-x))``, which is sigmoid(x) - t without weights."""
    share = _share(grad, input, reduction) * (1.0 if weight is None else weight)
    p = 1.0 if pos_weight is None else pos_weight
    by_input = share * ((1 - target) * _sigmoid(input) - p * target * _sigmoid(-input))
    return by_input, share * (p * _softplus(-input) - _softplus(input))


def multilabel_soft_margin_loss(
    input: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    reduction: str = "mean",
) -> np.ndarray:
    """The mean over the last axis of weighted binary cross-entropies of scores."""
    losses = binary_cross_entropy_with_logits(input, target, weight, "none")
    return _reduce(losses.mean(axis=-1), reduction)


def multilabel_soft_margin_loss_backward(
    grad: np.ndarray,
    input: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    reduction: str = "mean",
) -> tuple[np.ndarray, np.ndarray]:
    """Each class of a sample gets 1/C of what its sample gets."""
    by_sample = _share(grad, np.ones(input.shape[:-1]), reduction)
    share = np.broadcast_to(by_sample[..., None] / input.shape[-1], input.shape)
    return binary_cross_entropy_with_logits_backward(share, input, target, weight, "none")


def weighted_mse_loss(input: np.ndarray, target: np.ndarray, ratio: float = 0.05) -> np.ndarray:
    """``r`` times the mean squared error where t = 1, and ``1 - r`` times that where t = 0.

    Args:
        input: prediction, any shape.
        target: 0 to 1, the same shape.
        ratio: the sensitivity ratio r.

    Example:
        >>> weighted_mse_loss(np.zeros(4), np.array([1.0, 0, 0, 0]), 0.25).item()
        0.25
    """
    squares, total = (input - target) ** 2, 0.0
    for share, members in ((ratio, target), (1 - ratio, 1 - target)):
        if members.sum() > 0:
            total = total + share * (squares * members).sum() / members.sum()
    return np.asarray(total)


def weighted_mse_loss_backward(
    grad: np.ndarray, input: np.ndarray, target: np.ndarray, ratio: float = 0.05
) -> tuple[np.ndarray, None]:
    """``2 (x - t)`` times the weight of each element; the target is given, not learned."""
    weight = np.zeros_like(input)
    for share, members in ((ratio, target), (1 - ratio, 1 - target)):
        if members.sum() > 0:
            weight += share * members / members.sum()
    return grad * 2 * (input - target) * weight, None
