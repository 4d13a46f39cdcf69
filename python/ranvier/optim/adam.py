"""Adam: gradient descent whose step per coordinate follows that coordinate's recent gradients.

    g <- g + weight_decay p                  (AdamW instead: p <- p - lr weight_decay p)
    m <- beta1 m + (1 - beta1) g
    v <- beta2 v + (1 - beta2) g^2
    p <- p - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)      (+ with maximize)

Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1;
Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ranvier import _core
from ranvier.optim.optimizer import Optimizer


class Adam(Optimizer):
    """Adam with L2 regularization; the formula is that of `torch.optim.Adam`.

    Args:
        params: tensors, or groups {"params": tensors, "lr": ..., "betas": ...}.
        lr: learning rate.
        betas: decay of the running mean of gradients, and of their squares.
        eps: keeps the division finite.
        weight_decay: adds weight_decay p to the gradient.
        maximize: climbs instead of descending.

    Raises:
        ValueError: negative numbers, or betas not below 1.
    """

    decoupled = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            **_pair(betas),
            eps=eps,
            weight_decay=weight_decay,
            _decoupled=self.decoupled,
            maximize=maximize,
        )

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Takes on parameters with hyper-parameters of their own; "betas" may come as a pair."""
        if "betas" in group:
            rest = {key: value for key, value in group.items() if key != "betas"}
            group = {**rest, **_pair(group["betas"])}
        super().add_param_group(group)

    @classmethod
    def slots(cls, hyper: Mapping[str, float]) -> tuple[str, ...]:
        """Running means of the gradients and of their squares."""
        return ("exp_avg", "exp_avg_sq")

    def update(
        self, p: list[Any], g: list[Any], hyper: Any, steps: Any, **state: list[Any]
    ) -> None:
        """One step of all parameters in one kernel."""
        _core.adam_step(p, g, state["exp_avg"], state["exp_avg_sq"], hyper, steps)


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters apart from the gradient.

    Args:
        params: tensors, or groups {"params": tensors, "lr": ..., "betas": ...}.
        lr: learning rate.
        betas: decay of the running mean of gradients, and of their squares.
        eps: keeps the division finite.
        weight_decay: parameters shrink by lr weight_decay of themselves in each step.
        maximize: climbs instead of descending.

    Raises:
        ValueError: negative numbers, or betas not below 1.
    """

    decoupled = True

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, maximize)


def _pair(betas: Any) -> dict[str, float]:
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ValueError(f"[Adam] expected betas as a pair, got {betas!r}")
    return {"beta1": betas[0], "beta2": betas[1]}
