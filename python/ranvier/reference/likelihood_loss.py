"""Minus the log-likelihood of a target under a predicted distribution, beyond classes.

Source: Bishop, Pattern Recognition and Machine Learning, sections 1.2.4, 1.6.1 and 4.3.6.
"""

import numpy as np

from .binary import unbroadcast


def _reduce(losses: np.ndarray, reduction: str) -> np.ndarray:
    if reduction == "none":
        return losses
    if reduction == "batchmean":
        return np.asarray(losses.sum() / max(losses.shape[0], 1))
    return np.asarray(losses.sum() if reduction == "sum" else losses.mean())


def _share(grad: np.ndarray, x: np.ndarray, reduction: str) -> np.ndarray:
    """The gradient that reaches each element's own loss."""
    count = {"mean": x.size, "batchmean": x.shape[0] if x.ndim else 1}.get(reduction, 1)
    return grad / max(count, 1) * np.ones_like(x)


def kl_div(
    input: np.ndarray, target: np.ndarray, reduction: str = "mean", log_target: bool = False
) -> np.ndarray:
    """``t (log t - x)``, 0 where t = 0; with ``log_target`` ``e^t (t - x)``.

    Example:
        >>> kl_div(np.log([[0.25, 0.75]]), np.array([[0.5, 0.5]]), "batchmean").round(4).item()
        0.1438
    """
    if log_target:
        return _reduce(np.exp(target) * (target - input), reduction)
    t = np.where(target > 0, target, 1.0)
    return _reduce(np.where(target > 0, t * (np.log(t) - input), 0.0), reduction)


def kl_div_backward(
    grad: np.ndarray,
    input: np.ndarray,
    target: np.ndarray,
    reduction: str = "mean",
    log_target: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """``-t`` by x, ``log t - x + 1`` by t; by log t, ``t (log t - x + 1)``."""
    share = _share(grad, input, reduction)
    if log_target:
        return -share * np.exp(target), share * np.exp(target) * (target - input + 1)
    t = np.where(target > 0, target, 1.0)
    return -share * target, share * np.where(target > 0, np.log(t) - input + 1, 0.0)


def gaussian_nll_loss(
    input: np.ndarray,
    target: np.ndarray,
    var: np.ndarray | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> np.ndarray:
    """``(log v + (x - t)^2 / v) / 2``, with v at least eps."""
    v = np.maximum(var, eps)
    losses = 0.5 * (np.log(v) + (input - target) ** 2 / v)
    return _reduce(losses + (0.5 * np.log(2 * np.pi) if full else 0.0), reduction)


def gaussian_nll_loss_backward(
    grad: np.ndarray,
    input: np.ndarray,
    target: np.ndarray,
    var: np.ndarray | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(x - t) / v`` by x, minus it by t, ``(1 / v - (x - t)^2 / v^2) / 2`` by v."""
    share, v, d = _share(grad, input, reduction), np.maximum(var, eps), input - target
    by_var = unbroadcast(share * 0.5 * (1 / v - d**2 / v**2), np.shape(var))
    return share * d / v, -share * d / v, by_var


def poisson_nll_loss(
    input: np.ndarray,
    target: np.ndarray,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> np.ndarray:
    """``e^x - t x``, or ``x - t log(x + eps)`` for rates; and Stirling's log t! for t > 1."""
    losses = np.exp(input) - target * input if log_input else input - target * np.log(input + eps)
    if full:
        t = np.where(target > 1, target, 1.0)
        stirling = t * np.log(t) - t + 0.5 * np.log(2 * np.pi * t)
        losses = losses + np.where(target > 1, stirling, 0.0)
    return _reduce(losses, reduction)


def poisson_nll_loss_backward(
    grad: np.ndarray,
    input: np.ndarray,
    target: np.ndarray,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> tuple[np.ndarray, np.ndarray]:
    """``e^x - t`` by x, or ``1 - t / (x + eps)`` for rates; ``-x`` by t, and Stirling's slope."""
    share = _share(grad, input, reduction)
    by_input = np.exp(input) - target if log_input else 1 - target / (input + eps)
    by_target = -input if log_input else -np.log(input + eps)
    if full:
        t = np.where(target > 1, target, 1.0)
        by_target = by_target + np.where(target > 1, np.log(t) + 0.5 / t, 0.0)
    return share * by_input, share * by_target
