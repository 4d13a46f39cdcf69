"""Gradient descent, one step for one parameter array.

A step takes the parameter p, its gradient g and a state from the step before (an empty dict at
first), and returns the new parameter and the new state; nothing is changed in place. The formulas
are those that PyTorch documents.

Source: Polyak, Some methods of speeding up the convergence of iteration methods (1964), for
momentum; Sutskever et al., On the importance of initialization and momentum in deep learning
(2013), for Nesterov's form.
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
