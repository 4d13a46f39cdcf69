"""Minus the log-likelihood of a target under a predicted distribution, beyond classes.

Composites of other ops: softplus-like forms where something could cancel, logarithms of the
smallest arguments kept finite.

Source: Bishop, Pattern Recognition and Machine Learning (2006), sections 1.2.4, 1.6.1 and 4.3.6.
"""

from __future__ import annotations

import math

from ranvier.ops._arguments import real
from ranvier.ops._loss import (
    check_floating,
    check_reduction,
    check_same_shape,
    check_tensors,
    reduced,
)
from ranvier.tensor import Tensor


def kl_div(
    input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """The Kullback-Leibler divergence of a model from the truth, term by term:

        loss_i = t_i (log t_i - x_i),   dloss/dx_i = -t_i,

    with x the logarithms of the model's probabilities. Where t is 0 the term is 0.

    Args:
        input: log-probabilities, any shape.
        target: probabilities, the same shape; or their logarithms.
        reduction: "batchmean", the sum over the size of the first axis, which is the divergence
            itself, averaged over samples; "mean" over all elements; "sum"; or "none".
        log_target: whether the target holds logarithms, loss_i = e^t_i (t_i - x_i).

    Returns:
        A scalar, or the shape of `input` for "none".

    Raises:
        ValueError: different shapes, or another reduction.
        TypeError: not floating.

    Source: Kullback and Leibler, "On information and sufficiency", Annals of Mathematical
    Statistics 22 (1951).

    Example:
        >>> import ranvier as rv
        >>> p, q = rv.tensor([[0.5, 0.5]]), rv.tensor([[0.25, 0.75]])
        >>> round(rv.functional.kl_div(q.log(), p, reduction="batchmean").item(), 4)
        0.1438
    """
    check_tensors("kl_div", input=input, target=target)
    check_same_shape("kl_div", input, target)
    check_floating("kl_div", input=input, target=target)
    if reduction != "batchmean":
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(
                "[kl_div] expected reduction 'batchmean', 'mean', 'sum' or 'none', got "
                f"{reduction!r}"
            )
    elif not input.shape:
        raise ValueError("[kl_div] expected input with a batch axis for 'batchmean', got a scalar")
    if log_target:
        losses = target.exp() * (target - input)
    else:
        absent = target == 0  # there both logarithms may be infinite
        ratio = target.masked_fill(absent, 1.0).log() - input.masked_fill(absent, 0.0)
        losses = target.masked_fill(absent, 0.0) * ratio
    if reduction == "batchmean":
        return losses.sum() / float(max(input.shape[0], 1))
    return reduced(losses, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-likelihood of t under a normal distribution of mean x and variance v:

        loss = (log v + (x - t)^2 / v) / 2, and log(2 pi) / 2 more if `full`.

    Args:
        input: means, any shape.
        target: the same shape.
        var: variances of a shape that broadcasts to the input's, or one number. Below eps they
            count as eps; the gradient passes as if they did not.
        full: with the constant term.
        eps: the smallest variance.
        reduction: "mean", "sum" or "none".

    Returns:
        A scalar, or the shape of `input` for "none".

    Raises:
        ValueError: shapes that do not fit, an eps that is not positive, or another reduction.
        TypeError: not floating.

    Source: Nix and Weigend, "Estimating the mean and variance of the target probability
    distribution", ICNN (1994).
    """
    op = "gaussian_nll_loss"
    check_tensors(op, input=input, target=target)
    check_same_shape(op, input, target)
    check_floating(op, input=input, target=target)
    check_reduction(op, reduction)
    eps = real("eps", eps)
    if not eps > 0:
        raise ValueError(f"[{op}] expected eps above 0, got {eps}")
    square = (input - target).square()
    if isinstance(var, Tensor):
        check_floating(op, var=var)
        v = var + (var.detach().maximum(eps) - var.detach())
        losses = (v.log() + square / v) * 0.5
        if losses.shape != input.shape:
            raise ValueError(
                f"[{op}] expected var of a shape that broadcasts to {input.shape}, got {var.shape}"
            )
    else:
        number = max(real("var", var), eps)
        losses = (square / number + math.log(number)) * 0.5
    if full:
        losses = losses + 0.5 * math.log(2 * math.pi)
    return reduced(losses, reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-likelihood of a count t under a Poisson distribution of rate e^x:

        loss = e^x - t x, and Stirling's log t! = t log t - t + log(2 pi t) / 2 for t > 1 if `full`.

    Args:
        input: logarithms of rates, any shape; or the rates, with loss x - t log(x + eps).
        target: counts, the same shape.
        log_input: whether the input holds logarithms.
        full: with the term that does not depend on the prediction.
        eps: keeps the logarithm of a rate of 0 finite.
        reduction: "mean", "sum" or "none".

    Returns:
        A scalar, or the shape of `input` for "none".

    Raises:
        ValueError: different shapes, or another reduction.
        TypeError: not floating.
    """
    op = "poisson_nll_loss"
    check_tensors(op, input=input, target=target)
    check_same_shape(op, input, target)
    check_floating(op, input=input, target=target)
    check_reduction(op, reduction)
    losses = (
        input.exp() - target * input
        if log_input
        else input - target * (input + real("eps", eps)).log()
    )
    if full:
        few = target <= 1
        t = target.masked_fill(few, 1.0)
        stirling = t * t.log() - t + 0.5 * (2 * math.pi * t).log()
        losses = losses + stirling.masked_fill(few, 0.0)
    return reduced(losses, reduction)
