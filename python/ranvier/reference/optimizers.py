"""One step of each optimizer for one parameter array, in the form that PyTorch documents.

A step takes the parameter p, its gradient g and a state from the step before (an empty dict at
first), and returns the new parameter and the new state; nothing is changed in place. Weight decay
of SGD and Adam adds ``weight_decay * p`` to the gradient; AdamW shrinks the parameter instead.

Source: Polyak, Some methods of speeding up the convergence of iteration methods (1964); Sutskever
et al., On the importance of initialization and momentum in deep learning (2013), for Nesterov's
form; Kingma and Ba, Adam (2015), algorithm 1; Loshchilov and Hutter, Decoupled weight decay
regularization (2019), algorithm 2.
"""

from typing import Any

import numpy as np

State = dict[str, Any]


def sgd(
    p: np.ndarray,
    g: np.ndarray,
    state: State,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> tuple[np.ndarray, State]:
    """Gradient descent, with momentum on request.

    g <- g + weight_decay p;  v <- momentum v + (1 - dampening) g, but v = g in the first step;
    d = g + momentum v (Nesterov), v (momentum) or g;  p <- p - lr d.
    """
    g = g + weight_decay * p
    if momentum == 0:
        return p - lr * g, state
    first = "velocity" not in state
    v = g if first else momentum * state["velocity"] + (1 - dampening) * g
    d = g + momentum * v if nesterov else v
    return p - lr * d, {"velocity": v}


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
