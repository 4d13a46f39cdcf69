"""Draws from a softmax that have a gradient: a composite of other ops.

    y = softmax((x + g) / tau),   g = -log(-log u),   u uniform in [0, 1)

The largest x + g is at i with probability softmax(x)_i; as tau falls, y approaches its one-hot
vector.

Source: Jang, Gu and Poole, "Categorical reparameterization with Gumbel-softmax", ICLR (2017);
Maddison, Mnih and Teh, "The concrete distribution", ICLR (2017).
"""

from __future__ import annotations

from ranvier.ops._arguments import real
from ranvier.random import rand_like
from ranvier.tensor import Tensor, check_tensors


def gumbel_softmax(logits: Tensor, tau: float = 1.0, hard: bool = False, dim: int = -1) -> Tensor:
    """Random vectors near the corners of the simplex, one drawn from each softmax of logits.

    Args:
        logits: any shape, floating: logarithms of probabilities, up to a constant.
        tau: temperature above 0; the lower, the nearer to one-hot.
        hard: one-hot vectors, which have the gradient of the soft ones.
        dim: the axis of the classes.

    Raises:
        ValueError: tau is not above 0.
        TypeError: logits are not floating.
        IndexError: an axis that is not there.

    Example:
        >>> import ranvier as rv
        >>> y = rv.functional.gumbel_softmax(rv.zeros(2, 5), hard=True)
        >>> y.sum(-1).tolist()
        [1.0, 1.0]
    """
    check_tensors(logits)
    if not logits.dtype.is_floating_point:
        raise TypeError(f"[gumbel_softmax] expected floating logits, got {logits.dtype.name}")
    if not real("tau", tau) > 0:
        raise ValueError(f"[gumbel_softmax] expected tau above 0, got {tau}")
    noise = -(-rand_like(logits).log()).log()
    y: Tensor = ((logits + noise) / tau).softmax(dim)
    if not hard:
        return y
    soft = y.detach()
    corner = (soft * 0.0).scatter(dim, soft.argmax(dim, keepdim=True), 1.0)
    return corner + (y - soft)  # corners to the last bit: the difference is 0
