"""RMSprop: gradient descent whose step per coordinate is scaled by recent gradients.

    g <- g + weight_decay p
    v <- alpha v + (1 - alpha) g^2
    m <- alpha m + (1 - alpha) g             (centered: v - m^2 stands for v in the next line)
    d =  g / (sqrt(v) + eps)
    b <- momentum b + d                      (with momentum: b stands for d in the next line)
    p <- p - lr d                            (+ with maximize)

Source: Tieleman and Hinton, "Lecture 6.5 - RMSprop: divide the gradient by a running average of its
recent magnitude", COURSERA: Neural networks for machine learning (2012); Graves, "Generating
sequences with recurrent neural networks" (2013), section 4.2, for the centered form with momentum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ranvier import _core
from ranvier.optim.optimizer import Optimizer


class RMSprop(Optimizer):
    """Divides each gradient by its recent size; the formula is that of `torch.optim.RMSprop`.

    Where PyTorch's centered form ends in NaN, because rounding took a variance of zero below zero,
    this one goes on with zero.

    Args:
        params: tensors, or groups {"params": tensors, "lr": ...}.
        lr: learning rate.
        alpha: decay of the running mean of squared gradients.
        eps: keeps the division finite.
        weight_decay: adds weight_decay p to the gradient.
        momentum: share of the old velocity that is kept; 0 keeps no velocity at all.
        centered: divides by the standard deviation of the gradient instead.
        maximize: climbs instead of descending.

    Raises:
        ValueError: negative numbers, or alpha above 1.

    Example:
        >>> import ranvier as rv
        >>> w = rv.tensor([1.0], requires_grad=True)
        >>> opt = rv.optim.RMSprop([w], lr=0.25, alpha=0.75)
        >>> (w * w).backward()
        >>> opt.step()
        >>> w.item()
        0.5
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
            maximize=maximize,
        )

    @classmethod
    def slots(cls, hyper: Mapping[str, float]) -> tuple[str, ...]:
        """The running mean of squares; the velocity and the mean gradient where they are used."""
        wanted = {"momentum_buffer": hyper["momentum"], "grad_avg": hyper["centered"]}
        return ("square_avg", *(slot for slot, on in wanted.items() if on))

    def update(
        self, p: list[Any], g: list[Any], hyper: Any, steps: Any, **state: list[Any]
    ) -> None:
        """One step of all parameters in one kernel."""
        velocity, mean = state.get("momentum_buffer", []), state.get("grad_avg", [])
        _core.rmsprop_step(p, g, state["square_avg"], velocity, mean, hyper, steps)
