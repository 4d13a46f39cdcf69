"""Adam and AdamW, one step for one parameter array.

A step takes the parameter p, its gradient g and a state from the step before (an empty dict at
first), and returns the new parameter and the new state; nothing is changed in place. Weight decay
of Adam adds ``weight_decay * p`` to the gradient; AdamW shrinks the parameter instead.

Source: Kingma and Ba, Adam: a method for stochastic optimization (2015), algorithm 1; Loshchilov
and Hutter, Decoupled weight decay regularization (2019), algorithm 2.
"""

from typing import Any

import numpy as np

State = dict[str, Any]


def _adam_direction(
    g: np.ndarray, state: State, betas: tuple[float, float], eps: float
) -> tuple[np.ndarray, State]:
    """``m / (sqrt(v) + eps)`` with both moments corrected for their start at zero."""
    t = state.get("step", 0) + 1
    m = betas[0] * state.get("m", np.zeros_like(g)) + (1 - betas[0]) * g
    v = betas[1] * state.get("v", np.zeros_like(g)) + (1 - betas[1]) * g**2
    mean, square = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    return mean / (np.sqrt(square) + eps), {"step": t, "m": m, "v": v}


def adam(
    p: np.ndarray,
    g: np.ndarray,
    state: State,
    *,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> tuple[np.ndarray, State]:
    """Adaptive moments: each coordinate's step is scaled by its own recent gradients.

    g <- g + weight_decay p;  m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;
    p <- p - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps).
    """
    direction, state = _adam_direction(g + weight_decay * p, state, betas, eps)
    return p - lr * direction, state


def adamw(
    p: np.ndarray,
    g: np.ndarray,
    state: State,
    *,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> tuple[np.ndarray, State]:
    """Adam with weight decay apart from the gradient: p <- (1 - lr weight_decay) p, then Adam."""
    direction, state = _adam_direction(g, state, betas, eps)
    return (1 - lr * weight_decay) * p - lr * direction, state
