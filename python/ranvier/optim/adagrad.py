"""Adagrad: gradient descent whose step per coordinate shrinks with all gradients that it had.

    g <- g + weight_decay p
    s <- s + g^2                             (s starts at initial_accumulator_value)
    p <- p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)      (+ with maximize)

Source: Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic
optimization", JMLR 12 (2011), the diagonal form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ranvier import _core
from ranvier.optim.optimizer import Optimizer


class Adagrad(Optimizer):
    """Divides each gradient by the size of all before; the formula of `torch.optim.Adagrad`.

    Args:
        params: tensors, or groups {"params": tensors, "lr": ...}.
        lr: learning rate.
        lr_decay: the rate of step t is lr / (1 + (t - 1) lr_decay).
        weight_decay: adds weight_decay p to the gradient.
        initial_accumulator_value: the sum of squares before the first step.
        eps: keeps the division finite.
        maximize: climbs instead of descending.

    Raises:
        ValueError: negative numbers.

    Example:
        >>> import ranvier as rv
        >>> w = rv.tensor([1.0], requires_grad=True)
        >>> opt = rv.optim.Adagrad([w], lr=0.75, initial_accumulator_value=5.0)
        >>> (w * w).backward()
        >>> opt.step()
        >>> w.item()
        0.5
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
            maximize=maximize,
        )

    @classmethod
    def slots(cls, hyper: Mapping[str, float]) -> tuple[str, ...]:
        """The sum of squared gradients; the kernel gives it its first value."""
        return ("sum",)

    def update(
        self, p: list[Any], g: list[Any], hyper: Any, steps: Any, **state: list[Any]
    ) -> None:
        """One step of all parameters in one kernel."""
        _core.adagrad_step(p, g, state["sum"], hyper, steps)
