"""Adagrad, one step for one parameter array.

A step takes the parameter p, its gradient g and a state from the step before (an empty dict at
first), and returns the new parameter and the new state; nothing is changed in place.

Source: Duchi, Hazan and Singer, Adaptive subgradient methods for online learning and stochastic
optimization (2011), the diagonal form.
"""

from typing import Any

import numpy as np

State = dict[str, Any]


def adagrad(
    p: np.ndarray,
    g: np.ndarray,
    state: State,
    *,
    lr: float = 1e-2,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
) -> tuple[np.ndarray, State]:
    """Each coordinate's step shrinks with all gradients that it had.

    g <- g + weight_decay p;  s <- s + g^2, from initial_accumulator_value in the first step;
    p <- p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps).
    """
    g = g + weight_decay * p
    t = state.get("step", 0) + 1
    s = state.get("s", initial_accumulator_value) + g**2
    p = p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s) + eps)
    return p, {"step": t, "s": s}
