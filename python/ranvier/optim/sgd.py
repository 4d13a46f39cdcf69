"""Stochastic gradient descent.

    g <- g + weight_decay p
    v <- momentum v + (1 - dampening) g      (v = g in the first step)
    d =  g + momentum v  with nesterov, else v; without momentum d = g
    p <- p - lr d                            (+ with maximize)

Source: Robbins and Monro, "A stochastic approximation method" (1951); Polyak, "Some methods of
speeding up the convergence of iteration methods" (1964); Sutskever et al., "On the importance of
initialization and momentum in deep learning", ICML 2013, for Nesterov's form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ranvier import _core
from ranvier.optim.optimizer import Optimizer


class SGD(Optimizer):
    """Gradient descent, with momentum on request; the formula is that of `torch.optim.SGD`.

    Args:
        params: tensors, or groups {"params": tensors, "lr": ...}.
        lr: learning rate.
        momentum: share of the old velocity that is kept; 0 keeps no velocity at all.
        dampening: share of the gradient that is left out of the velocity.
        weight_decay: adds weight_decay p to the gradient.
        nesterov: looks ahead along the velocity.
        maximize: climbs instead of descending.

    Raises:
        ValueError: negative numbers, or nesterov without momentum or with dampening.

    Example:
        >>> import ranvier as rv
        >>> w = rv.tensor([1.0], requires_grad=True)
        >>> opt = rv.optim.SGD([w], lr=0.25)
        >>> (w * w).backward()
        >>> opt.step()
        >>> w.item()
        0.5
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
        )

    @classmethod
    def slots(cls, hyper: Mapping[str, float]) -> tuple[str, ...]:
        """The velocity, where there is momentum."""
        if hyper["nesterov"] and (not hyper["momentum"] or hyper["dampening"]):
            raise ValueError(
                f"[SGD] expected momentum and no dampening for nesterov, got momentum "
                f"{hyper['momentum']:g} and dampening {hyper['dampening']:g}"
            )
        return ("momentum_buffer",) if hyper["momentum"] else ()

    def update(
        self, p: list[Any], g: list[Any], hyper: Any, steps: Any, **state: list[Any]
    ) -> None:
        """One step of all parameters in one kernel."""
        _core.sgd_step(p, g, state.get("momentum_buffer", []), hyper, steps)
