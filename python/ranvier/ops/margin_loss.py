"""Losses that are content once a score is right, or right by a margin: composites of other ops.

Sources: Rosenblatt, "The perceptron", Psychological Review 65 (1958); Duda, Hart and Stork, Pattern
Classification (2001), section 5.5; Cortes and Vapnik, "Support-vector networks", Machine Learning
20 (1995); Crammer and Singer, "On the algorithmic implementation of multiclass kernel-based vector
machines", JMLR 2 (2001).
"""

from __future__ import annotations

import numpy as np

from ranvier import _core
from ranvier.ops._arguments import real
from ranvier.ops._loss import (
    check_floating,
    check_reduction,
    check_same_shape,
    check_tensors,
    reduced,
)
from ranvier.tensor import Tensor


def _agreement(op: str, input: Tensor, target: Tensor, reduction: str) -> Tensor:
    """t x: positive where the sign of the score is right."""
    check_tensors(op, input=input, target=target)
    check_same_shape(op, input, target)
    check_floating(op, input=input)
    check_reduction(op, reduction)
    product: Tensor = target * input
    return product


def perceptron_loss(input: Tensor, target: Tensor, reduction: str = "sum") -> Tensor:
    """The perceptron criterion: max(0, -t x), how far a score x lies on the wrong side.

    Its gradient by x is -t where t x <= 0, else 0: a step down it is the perceptron's learning
    rule. A score of 0 counts as wrong, so that learning can start from zero weights.

    Args:
        input: scores before the threshold, any shape.
        target: -1 or 1, the same shape.
        reduction: "sum", which is the criterion; "mean" or "none".

    Raises:
        ValueError: different shapes, or another reduction.
        TypeError: input is not floating.

    Example:
        >>> import ranvier as rv
        >>> x = rv.tensor([-0.5, 0.0], requires_grad=True)
        >>> rv.functional.perceptron_loss(x, rv.ones(2)).backward()
        >>> x.grad.tolist()
        [-1.0, -1.0]
    """
    product = _agreement("perceptron_loss", input, target, reduction)
    return reduced((-product).masked_fill(product > 0, 0.0), reduction)


def hinge_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, squared: bool = False,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """max(0, margin - t x), the loss of support-vector machines; squared if asked.

    Its slope at the corner is 0.

    Args:
        input: scores, any shape.
        target: -1 or 1, the same shape.
        margin: agreement t x at which the loss ends.
        squared: the square of it, which has no corner.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: different shapes, or another reduction.
        TypeError: input is not floating.
    """
    losses = (real("margin", margin) - _agreement("hinge_loss", input, target, reduction)).relu()
    return reduced(losses.square() if squared else losses, reduction)


def soft_margin_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """log(1 + e^(-t x)), without overflow: the logistic loss for targets -1 and 1.

    Args:
        input: scores, any shape.
        target: -1 or 1, the same shape.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: different shapes, or another reduction.
        TypeError: input is not floating.
    """
    product = _agreement("soft_margin_loss", input, target, reduction)
    return reduced(-product.logsigmoid(), reduction)


def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """For distances x: x itself for a pair that belongs together, else max(0, margin - x).

    Args:
        input: distances, any shape.
        target: 1 for pairs that belong together, -1 for others; the same shape.
        margin: the distance at which a pair of strangers costs nothing.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: different shapes, or another reduction.
        TypeError: input is not floating.

    Source: Hadsell, Chopra and LeCun, "Dimensionality reduction by learning an invariant mapping",
    CVPR (2006).
    """
    op = "hinge_embedding_loss"
    _agreement(op, input, target, reduction)
    losses = input.where(target == 1, (real("margin", margin) - input).relu())
    return reduced(losses, reduction)


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """max(0, margin - t (x1 - x2)): the first shall rank higher for t = 1, the second for t = -1.

    Args:
        input1: scores, any shape.
        input2: scores, the same shape.
        target: -1 or 1, the same shape.
        margin: the difference at which the loss ends.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: different shapes, or another reduction.
        TypeError: input1 or input2 is not floating.

    Source: Herbrich, Graepel and Obermayer, "Support vector learning for ordinal regression", ICANN
    (1999).
    """
    op = "margin_ranking_loss"
    check_tensors(op, input1=input1, input2=input2)
    check_same_shape(op, input1, input2)
    check_floating(op, input1=input1, input2=input2)
    product = _agreement(op, input1 - input2, target, reduction)
    return reduced((real("margin", margin) - product).relu(), reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The hinge loss of classes: each wrong score shall stay below the right one by a margin.

        loss = w_t / C sum_(c != t) max(0, margin - x_t + x_c)^p

    Args:
        input: scores (N, C) or (C,).
        target: classes (N,) or (), integers.
        p: 1 or 2.
        margin: the distance at which the loss ends.
        weight: one factor per class, (C,).
        reduction: "mean" over the samples, "sum" or "none".

    Returns:
        A scalar, or (N,) for "none".

    Raises:
        ValueError: shapes that do not fit, another p or reduction.
        TypeError: input is not floating.
        IndexError: a class that the input does not have.
    """
    op = "multi_margin_loss"
    check_tensors(op, input=input, target=target)
    check_floating(op, input=input)
    check_reduction(op, reduction)
    if p not in (1, 2):
        raise ValueError(f"[{op}] expected p of 1 or 2, got {p}")
    if input.ndim not in (1, 2) or input.shape[:-1] != target.shape:
        raise ValueError(
            f"[{op}] expected input (N, C) with classes (N,), or (C,) with (), got {input.shape} "
            f"with {target.shape}"
        )
    classes = input.shape[-1]
    right = target.unsqueeze(-1)
    losses = (real("margin", margin) - input.gather(-1, right) + input).relu()
    if p == 2:
        losses = losses.square()
    numbers = Tensor(_core.import_array(np.arange(classes))).to(input.device)
    losses = losses.masked_fill(numbers == right, 0.0).sum(-1) / float(max(classes, 1))
    if weight is not None:
        check_tensors(op, weight=weight)
        if weight.shape != (classes,):
            raise ValueError(
                f"[{op}] expected weight of shape ({classes},), one number per class, got "
                f"{weight.shape}"
            )
        losses = losses * weight.index_select(0, target.reshape(-1)).reshape(*target.shape)
    return reduced(losses, reduction)


def _cosine(x1: Tensor, x2: Tensor) -> Tensor:
    """Along the last axis; vectors shorter than 1e-8 count as that long."""
    a, b = (x / x.square().sum(-1, keepdim=True).clip(1e-16).sqrt() for x in (x1, x2))
    cosine: Tensor = (a * b).sum(-1)
    return cosine


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """1 - cos for vectors that belong together, else max(0, cos - margin).

    Args:
        input1: vectors (N, D) or (D,).
        input2: the same shape.
        target: 1 or -1, (N,) or ().
        margin: the cosine below which strangers cost nothing, -1 to 1.
        reduction: "mean", "sum" or "none".

    Returns:
        A scalar, or (N,) for "none".

    Raises:
        ValueError: shapes that do not fit, or another reduction.
        TypeError: not floating.
    """
    op = "cosine_embedding_loss"
    check_tensors(op, input1=input1, input2=input2, target=target)
    check_same_shape(op, input1, input2)
    check_floating(op, input1=input1, input2=input2)
    check_reduction(op, reduction)
    if input1.ndim not in (1, 2) or input1.shape[:-1] != target.shape:
        raise ValueError(
            f"[{op}] expected vectors (N, D) with targets (N,), or (D,) with (), got "
            f"{input1.shape} with {target.shape}"
        )
    cosine = _cosine(input1, input2)
    losses = (1.0 - cosine).where(target == 1, (cosine - real("margin", margin)).relu())
    return reduced(losses, reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(a, p) - d(a, n) + margin): an anchor shall lie nearer to its own kind by a margin.

    The distance is d(x, y) = norm_p(x - y + eps), that of `pairwise_distance`.

    Args:
        anchor: vectors (N, D) or (D,).
        positive: vectors of the anchors' kind, the same shape.
        negative: vectors of another kind, the same shape.
        margin: the difference of distances at which the loss ends.
        p: which norm.
        eps: added to each difference, so that equal vectors have a gradient.
        swap: count d(p, n) instead of d(a, n) where it is smaller.
        reduction: "mean", "sum" or "none".

    Returns:
        A scalar, or (N,) for "none".

    Raises:
        ValueError: different shapes, or another reduction.
        TypeError: not floating.

    Source: Balntas, Riba, Ponsa and Mikolajczyk, "Learning local feature descriptors with triplets
    and shallow convolutional neural networks", BMVC (2016).
    """
    op = "triplet_margin_loss"
    check_tensors(op, anchor=anchor, positive=positive, negative=negative)
    check_same_shape(op, anchor, positive)
    check_same_shape(op, anchor, negative)
    check_floating(op, anchor=anchor, positive=positive, negative=negative)
    check_reduction(op, reduction)

    def distance(x: Tensor, y: Tensor) -> Tensor:
        length: Tensor = (x - y + eps).norm(p, -1)
        return length

    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        other = distance(positive, negative)
        far = far.where(far < other, other)
    return reduced((near - far + real("margin", margin)).relu(), reduction)
