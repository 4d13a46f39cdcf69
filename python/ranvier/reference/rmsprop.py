"""RMSprop, one step for one parameter array.

A step takes the parameter p, its gradient g and a state from the step before (an empty dict at
first), and returns the new parameter and the new state; nothing is changed in place.

Source: Tieleman and Hinton, Lecture 6.5 - RMSprop: divide the gradient by a running average of its
recent magnitude (2012); Graves, Generating sequences with recurrent neural networks (2013), section
4.2, for the centered form with momentum.
"""

from typing import Any

import numpy as np

State = dict[str, Any]


def rmsprop(
    p: np.ndarray,
    g: np.ndarray,
    state: State,
    *,
    lr: float = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
) -> tuple[np.ndarray, State]:
    """Each coordinate's step is scaled by its own recent gradients.

    g <- g + weight_decay p;  v <- alpha v + (1 - alpha) g^2;
    centered: m <- alpha m + (1 - alpha) g, and v - m^2 stands for v below;
    d = g / (sqrt(v) + eps);  with momentum: b <- momentum b + d, and b stands for d below;
    p <- p - lr d.
    """
    g = g + weight_decay * p
    v = alpha * state.get("v", np.zeros_like(g)) + (1 - alpha) * g**2
    new, variance = {"v": v}, v
    if centered:
        m = new["m"] = alpha * state.get("m", np.zeros_like(g)) + (1 - alpha) * g
        variance = np.maximum(v - m**2, 0)  # where it vanishes, rounding may take it below zero
    d = g / (np.sqrt(variance) + eps)
    if momentum:
        d = new["b"] = momentum * state.get("b", np.zeros_like(g)) + d
    return p - lr * d, new
