"""Losses that are content once a score is right, or right by a margin.

Sources: Duda, Hart and Stork, Pattern Classification (2001), section 5.5; Cortes and Vapnik,
Support-vector networks (1995); Crammer and Singer, On the algorithmic implementation of multiclass
kernel-based vector machines (2001).
"""

import numpy as np

from .norm import (
    cosine_similarity,
    cosine_similarity_backward,
    pairwise_distance,
    pairwise_distance_backward,
)


def _reduce(losses: np.ndarray, reduction: str) -> np.ndarray:
    if reduction == "none":
        return losses
    return np.asarray(losses.sum() if reduction == "sum" else losses.mean())


def _share(grad: np.ndarray, shape: tuple[int, ...], reduction: str) -> np.ndarray:
    """The gradient that reaches each loss."""
    count = max(int(np.prod(shape)), 1) if reduction == "mean" else 1
    return grad / count * np.ones(shape)


def perceptron_loss(input: np.ndarray, target: np.ndarray, reduction: str = "sum") -> np.ndarray:
    """``max(0, -t x)``."""
    return _reduce(np.maximum(0, -target * input), reduction)


def perceptron_loss_backward(
    grad: np.ndarray, input: np.ndarray, target: np.ndarray, reduction: str = "sum"
) -> tuple[np.ndarray, None]:
    """``-t`` where ``t x <= 0``, a score of 0 counting as wrong."""
    wrong = target * input <= 0
    return _share(grad, input.shape, reduction) * np.where(wrong, -target, 0.0), None


def hinge_loss(
    input: np.ndarray,
    target: np.ndarray,
    margin: float = 1.0,
    squared: bool = False,
    reduction: str = "mean",
) -> np.ndarray:
    """``max(0, margin - t x)``, or its square."""
    return _reduce(np.maximum(0, margin - target * input) ** (2 if squared else 1), reduction)


def hinge_loss_backward(
    grad: np.ndarray,
    input: np.ndarray,
    target: np.ndarray,
    margin: float = 1.0,
    squared: bool = False,
    reduction: str = "mean",
) -> tuple[np.ndarray, None]:
    """``-t`` inside the margin, times twice the loss if squared."""
    loss = np.maximum(0, margin - target * input)
    slope = 2 * loss if squared else np.where(loss > 0, 1.0, 0.0)
    return -_share(grad, input.shape, reduction) * target * slope, None


def soft_margin_loss(input: np.ndarray, target: np.ndarray, reduction: str = "mean") -> np.ndarray:
    """``log(1 + e^(-t x))``."""
    return _reduce(np.logaddexp(0, -target * input), reduction)


def soft_margin_loss_backward(
    grad: np.ndarray, input: np.ndarray, target: np.ndarray, reduction: str = "mean"
) -> tuple[np.ndarray, None]:
    """``-t / (1 + e^(t x))``."""
    slope = -target * np.exp(-np.logaddexp(0, target * input))
    return _share(grad, input.shape, reduction) * slope, None


def hinge_embedding_loss(
    input: np.ndarray, target: np.ndarray, margin: float = 1.0, reduction: str = "mean"
) -> np.ndarray:
    """``x`` for t = 1, ``max(0, margin - x)`` for t = -1."""
    return _reduce(np.where(target == 1, input, np.maximum(0, margin - input)), reduction)


def hinge_embedding_loss_backward(
    grad: np.ndarray,
    input: np.ndarray,
    target: np.ndarray,
    margin: float = 1.0,
    reduction: str = "mean",
) -> tuple[np.ndarray, None]:
    """1 for t = 1; -1 inside the margin for t = -1."""
    slope = np.where(target == 1, 1.0, np.where(input < margin, -1.0, 0.0))
    return _share(grad, input.shape, reduction) * slope, None


def margin_ranking_loss(
    input1: np.ndarray,
    input2: np.ndarray,
    target: np.ndarray,
    margin: float = 0.0,
    reduction: str = "mean",
) -> np.ndarray:
    """``max(0, margin - t (x1 - x2))``."""
    return hinge_loss(input1 - input2, target, margin, False, reduction)


def margin_ranking_loss_backward(
    grad: np.ndarray,
    input1: np.ndarray,
    input2: np.ndarray,
    target: np.ndarray,
    margin: float = 0.0,
    reduction: str = "mean",
) -> tuple[np.ndarray, np.ndarray, None]:
    """That of the hinge loss, with opposite signs."""
    slope, _ = hinge_loss_backward(grad, input1 - input2, target, margin, False, reduction)
    return slope, -slope, None


def multi_margin_loss(
    input: np.ndarray,
    target: np.ndarray,
    p: int = 1,
    margin: float = 1.0,
    weight: np.ndarray | None = None,
    reduction: str = "mean",
) -> np.ndarray:
    """``w_t / C sum_(c != t) max(0, margin - x_t + x_c)^p``."""
    return _reduce(_terms(input, target, p, margin, weight).sum(axis=-1), reduction)


def _terms(
    input: np.ndarray,
    target: np.ndarray,
    p: int,
    margin: float,
    weight: np.ndarray | None,
    derivative: bool = False,
) -> np.ndarray:
    """The term of each class but the right one, or its derivative by x_c."""
    right = np.take_along_axis(input, target[..., None], axis=-1)
    distance = np.maximum(0, margin - right + input)
    terms = p * np.where(distance > 0, distance ** (p - 1), 0.0) if derivative else distance**p
    terms = np.where(np.arange(input.shape[-1]) == target[..., None], 0.0, terms)
    return terms / input.shape[-1] * (1.0 if weight is None else weight[target][..., None])


def multi_margin_loss_backward(
    grad: np.ndarray,
    input: np.ndarray,
    target: np.ndarray,
    p: int = 1,
    margin: float = 1.0,
    weight: np.ndarray | None = None,
    reduction: str = "mean",
) -> tuple[np.ndarray, None]:
    """Each wrong class inside the margin its own slope, the right one minus their sum."""
    slopes = _terms(input, target, p, margin, weight, derivative=True)
    right = np.arange(input.shape[-1]) == target[..., None]
    slopes = np.where(right, -slopes.sum(axis=-1, keepdims=True), slopes)
    return _share(grad, target.shape, reduction)[..., None] * slopes, None


def cosine_embedding_loss(
    input1: np.ndarray,
    input2: np.ndarray,
    target: np.ndarray,
    margin: float = 0.0,
    reduction: str = "mean",
) -> np.ndarray:
    """``1 - cos`` for t = 1, ``max(0, cos - margin)`` for t = -1."""
    cosine = cosine_similarity(input1, input2, -1)
    return _reduce(np.where(target == 1, 1 - cosine, np.maximum(0, cosine - margin)), reduction)


def cosine_embedding_loss_backward(
    grad: np.ndarray,
    input1: np.ndarray,
    input2: np.ndarray,
    target: np.ndarray,
    margin: float = 0.0,
    reduction: str = "mean",
) -> tuple[np.ndarray, np.ndarray, None]:
    """The gradient of the cosine, times -1, 1 or 0."""
    cosine = cosine_similarity(input1, input2, -1)
    slope = np.where(target == 1, -1.0, np.where(cosine > margin, 1.0, 0.0))
    share = _share(grad, target.shape, reduction) * slope
    return (*cosine_similarity_backward(share, input1, input2, -1), None)


def triplet_margin_loss(
    anchor: np.ndarray,
    positive: np.ndarray,
    negative: np.ndarray,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> np.ndarray:
    """``max(0, d(a, p) - d(a, n) + margin)``; with swap, d(p, n) where it is below d(a, n)."""
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = np.minimum(far, pairwise_distance(positive, negative, p, eps))
    losses = np.maximum(0, pairwise_distance(anchor, positive, p, eps) - far + margin)
    return _reduce(losses, reduction)


def triplet_margin_loss_backward(
    grad: np.ndarray,
    anchor: np.ndarray,
    positive: np.ndarray,
    negative: np.ndarray,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """That of the near distance less that of the far one, where there is a loss."""
    inside = (anchor, positive, negative, margin, p, eps, swap, "none")
    active = triplet_margin_loss(*inside) > 0
    share = _share(grad, active.shape, reduction) * active
    near_a, near_p = pairwise_distance_backward(share, anchor, positive, p, eps)
    far, other = (pairwise_distance(x, negative, p, eps) for x in (anchor, positive))
    swapped = (other <= far) & swap
    far_a, from_a = pairwise_distance_backward(-share * ~swapped, anchor, negative, p, eps)
    far_p, from_p = pairwise_distance_backward(-share * swapped, positive, negative, p, eps)
    return near_a + far_a, near_p + far_p, from_a + from_p
