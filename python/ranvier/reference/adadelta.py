"""Adadelta, one step for one parameter array.

A step takes the parameter p, its gradient g and a state from the step before (an empty dict at
first), and returns the new parameter and the new state; nothing is changed in place.

Source: Zeiler, ADADELTA: an adaptive learning rate method (2012), algorithm 1; the learning rate is
PyTorch's.
"""

from typing import Any

import numpy as np

State = dict[str, Any]


def adadelta(
    p: np.ndarray,
    g: np.ndarray,
    state: State,
    *,
    lr: float = 1.0,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
) -> tuple[np.ndarray, State]:
    """The size of a step follows that of the steps before, in the units of the parameter.

    g <- g + weight_decay p;  v <- rho v + (1 - rho) g^2;
    d = sqrt(u + eps) / sqrt(v + eps) g;  u <- rho u + (1 - rho) d^2;  p <- p - lr d.
    """
    g = g + weight_decay * p
    v = rho * state.get("v", np.zeros_like(g)) + (1 - rho) * g**2
    u = state.get("u", np.zeros_like(g))
    d = np.sqrt(u + eps) / np.sqrt(v + eps) * g
    return p - lr * d, {"v": v, "u": rho * u + (1 - rho) * d**2}
