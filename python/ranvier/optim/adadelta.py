"""Adadelta: gradient descent that finds the size of its steps in the steps before.

    g <- g + weight_decay p
    v <- rho v + (1 - rho) g^2
    d =  sqrt(u + eps) / sqrt(v + eps) g
    u <- rho u + (1 - rho) d^2
    p <- p - lr d                            (+ with maximize)

Source: Zeiler, "ADADELTA: an adaptive learning rate method" (2012), algorithm 1, which has no lr.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ranvier import _core
from ranvier.optim.optimizer import Optimizer


class Adadelta(Optimizer):
    """Steps in the units of the parameter; the formula is that of `torch.optim.Adadelta`.

    Args:
        params: tensors, or groups {"params": tensors, "lr": ...}.
        lr: learning rate.
        rho: decay of the running means of squared gradients and of squared steps.
        eps: the square of the first steps, and keeps the division finite.
        weight_decay: adds weight_decay p to the gradient.
        maximize: climbs instead of descending.

    Raises:
        ValueError: negative numbers, or rho above 1.

    Example:
        >>> import ranvier as rv
        >>> w = rv.tensor([1.0], requires_grad=True)
        >>> opt = rv.optim.Adadelta([w], rho=0.75, eps=1 / 3)
        >>> (w * w).backward()
        >>> opt.step()
        >>> round(w.item(), 6)
        0.0
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize
        )

    @classmethod
    def slots(cls, hyper: Mapping[str, float]) -> tuple[str, ...]:
        """Running means of the squared gradients and of the squared steps."""
        return ("square_avg", "acc_delta")

    def update(
        self, p: list[Any], g: list[Any], hyper: Any, steps: Any, **state: list[Any]
    ) -> None:
        """One step of all parameters in one kernel."""
        _core.adadelta_step(p, g, state["square_avg"], state["acc_delta"], hyper, steps)
