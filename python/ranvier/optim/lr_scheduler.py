"""Learning-rate schedules that are stepped by hand, under PyTorch's names.

    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=30)
    for epoch in range(90):
        ...
        scheduler.step()      # once per epoch, after the optimizer's steps

At time t, which counts the calls of `step`, each group has the rate(base, t) of its class, where
base is the rate that the group had when the scheduler was made. A rate that something else changed
in between (a second scheduler, the user) is multiplied by rate(base, t) / rate(base, t - 1), so
schedulers may be combined. The rates live in memory that captured steps read.

`train.fit` takes functions of time instead: `ranvier.train.schedules`.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ranvier.ops._arguments import state_mapping
from ranvier.optim.optimizer import Group, Optimizer


class LRScheduler:
    """What all schedules share; a subclass defines `rate`.

    Args:
        optimizer: whose groups are to follow.

    Raises:
        TypeError: not an optimizer.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"[{type(self).__name__}] expected an optimizer, got {type(optimizer).__name__}"
            )
        self.optimizer = optimizer
        self.base_lrs: list[float] = [group["lr"] for group in optimizer.groups]
        self.last_epoch = 0
        for i, group in enumerate(optimizer.groups):
            group["lr"] = self.rate(self.base_lrs[i], 0, i)

    def rate(self, base: float, t: int, group: int) -> float:
        """The learning rate of a group at time t, from the rate that it began with."""
        raise TypeError(f"[{type(self).__name__}] expected the class to define rate")

    def step(self) -> None:
        """Goes on by one epoch (or step, if that is what is counted)."""
        self.last_epoch += 1
        for i, (group, base) in enumerate(zip(self.optimizer.groups, self.base_lrs, strict=True)):
            before, now = (self.rate(base, t, i) for t in (self.last_epoch - 1, self.last_epoch))
            if group["lr"] != before and before:  # changed by something else: in proportion
                now *= group["lr"] / before
            group["lr"] = now

    def get_last_lr(self) -> list[float]:
        """The rates of all groups."""
        return [group["lr"] for group in self.optimizer.groups]

    def __repr__(self) -> str:
        shown = {k: v for k, v in vars(self).items() if not k.startswith("_") and k != "optimizer"}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown.items())})"

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands, as plain numbers; the rates are part of the optimizer."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts it back there.

        Raises:
            TypeError: no dictionary.
            ValueError: the state of an optimizer with other groups, or of something else.
        """
        own, state = self.state_dict(), state_mapping(state)
        if set(state) != set(own) or len(state.get("base_lrs", [])) != len(self.base_lrs):
            raise ValueError(
                f"[{type(self).__name__}] expected a state with {', '.join(own)} for "
                f"{len(self.base_lrs)} groups, got {dict(state)}"
            )
        self.base_lrs = [float(lr) for lr in state["base_lrs"]]
        self.last_epoch = int(state["last_epoch"])


def _at_least(name: str, least: float, **values: Any) -> None:
    for key, value in values.items():
        if not value >= least:
            raise ValueError(f"[{name}] expected {key} of at least {least:g}, got {value}")


class StepLR(LRScheduler):
    """base gamma^floor(t / step_size).

    Args:
        optimizer: whose groups are to follow.
        step_size: epochs between two falls.
        gamma: the factor of a fall.
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        _at_least("StepLR", 1, step_size=step_size)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def rate(self, base: float, t: int, group: int) -> float:
        """The rate at time t."""
        return base * self.gamma ** (t // self.step_size)


class MultiStepLR(LRScheduler):
    """base gamma^n after n of the milestones.

    Args:
        optimizer: whose groups are to follow.
        milestones: the times of the falls.
        gamma: the factor of a fall.
    """

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def rate(self, base: float, t: int, group: int) -> float:
        """The rate at time t."""
        return base * self.gamma ** bisect.bisect_right(self.milestones, t)


class ExponentialLR(LRScheduler):
    """base gamma^t.

    Args:
        optimizer: whose groups are to follow.
        gamma: the factor of each epoch.
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def rate(self, base: float, t: int, group: int) -> float:
        """The rate at time t."""
        return base * self.gamma**t


class LambdaLR(LRScheduler):
    """base f(t).

    Args:
        optimizer: whose groups are to follow.
        lr_lambda: f, or one for each group.

    Raises:
        ValueError: not one function for each group.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
    ) -> None:
        count = len(optimizer.groups)
        given = list(lr_lambda) if isinstance(lr_lambda, Sequence) else [lr_lambda] * count
        if len(given) != count:
            raise ValueError(f"[LambdaLR] expected {count} functions, got {len(given)}")
        self.lr_lambdas = given
        super().__init__(optimizer)

    def rate(self, base: float, t: int, group: int) -> float:
        """The rate at time t."""
        return base * self.lr_lambdas[group](t)


class LinearLR(LRScheduler):
    """base times a factor that goes evenly from `start_factor` to `end_factor`, then stays.

    Args:
        optimizer: whose groups are to follow.
        start_factor: the factor at time 0.
        end_factor: the factor from `total_iters` on.
        total_iters: how long that takes.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        _at_least("LinearLR", 0, start_factor=start_factor, end_factor=end_factor)
        _at_least("LinearLR", 1, total_iters=total_iters)
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer)

    def rate(self, base: float, t: int, group: int) -> float:
        """The rate at time t."""
        share = min(t / self.total_iters, 1.0)
        return base * (self.start_factor + (self.end_factor - self.start_factor) * share)


class ConstantLR(LRScheduler):
    """base times `factor` until `total_iters`, then base.

    Args:
        optimizer: whose groups are to follow.
        factor: the factor at first.
        total_iters: how long it holds.
    """

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5) -> None:
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer)

    def rate(self, base: float, t: int, group: int) -> float:
        """The rate at time t."""
        return base * (self.factor if t < self.total_iters else 1.0)


class PolynomialLR(LRScheduler):
    """base (1 - t / total_iters)^power, 0 in the end.

    Args:
        optimizer: whose groups are to follow.
        total_iters: when 0 is reached.
        power: 1 falls evenly.
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0) -> None:
        _at_least("PolynomialLR", 1, total_iters=total_iters)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer)

    def rate(self, base: float, t: int, group: int) -> float:
        """The rate at time t."""
        return base * (1.0 - min(t / self.total_iters, 1.0)) ** self.power


class CosineAnnealingLR(LRScheduler):
    """eta_min + (base - eta_min) (1 + cos(pi t / T_max)) / 2; after T_max it rises again.

    Args:
        optimizer: whose groups are to follow.
        T_max: half a period.
        eta_min: the least rate.

    Source: Loshchilov and Hutter, "SGDR: Stochastic gradient descent with warm restarts", ICLR
    (2017), without the restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        _at_least("CosineAnnealingLR", 1, T_max=T_max)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def rate(self, base: float, t: int, group: int) -> float:
        """The rate at time t."""
        return _cosine(base, self.eta_min, t / self.T_max)


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine from base to eta_min, again and again, each T_mult times as long as the last.

    Args:
        optimizer: whose groups are to follow.
        T_0: the first one's length.
        T_mult: growth of the length.
        eta_min: the least rate.

    Source: Loshchilov and Hutter, "SGDR: Stochastic gradient descent with warm restarts", ICLR
    (2017), equation 5.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0
    ) -> None:
        _at_least("CosineAnnealingWarmRestarts", 1, T_0=T_0, T_mult=T_mult)
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer)

    def rate(self, base: float, t: int, group: int) -> float:
        """The rate at time t."""
        length = self.T_0
        while t >= length:
            t, length = t - length, length * self.T_mult
            if self.T_mult == 1:
                t %= length
        return _cosine(base, self.eta_min, t / length)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * share))


class OneCycleLR(LRScheduler):
    """Up from max_lr / div_factor to max_lr, and down to that over div_factor final_div_factor.

    Counts steps, not epochs. The momentum (Adam's beta1) goes the other way round.

    Args:
        optimizer: whose groups are to follow.
        max_lr: the highest rate, or one for each group.
        total_steps: the whole length; or
        epochs: times
        steps_per_epoch: is the length.
        pct_start: share of the rise.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether the momentum moves too.
        base_momentum: its least value.
        max_momentum: its highest.
        div_factor: max_lr over the first rate.
        final_div_factor: the first rate over the last.

    Raises:
        ValueError: no length, another strategy, or momentum to cycle where there is none.

    Source: Smith and Topin, "Super-convergence: very fast training of neural networks using large
    learning rates" (2018).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        if total_steps is None and epochs and steps_per_epoch:
            total_steps = epochs * steps_per_epoch
        if total_steps is None:
            raise ValueError("[OneCycleLR] expected total_steps, or epochs and steps_per_epoch")
        _at_least("OneCycleLR", 1, total_steps=total_steps)
        if anneal_strategy not in ("cos", "linear") or not 0 <= pct_start <= 1:
            raise ValueError(
                "[OneCycleLR] expected anneal_strategy 'cos' or 'linear' and pct_start from 0 to "
                f"1, got {anneal_strategy!r} and {pct_start}"
            )
        count = len(optimizer.groups)
        self.max_lrs = list(max_lr) if isinstance(max_lr, Sequence) else [max_lr] * count
        if len(self.max_lrs) != count:
            raise ValueError(f"[OneCycleLR] expected {count} rates, got {len(self.max_lrs)}")
        self.total_steps, self.pct_start, self.strategy = total_steps, pct_start, anneal_strategy
        self.base_momentum, self.max_momentum = base_momentum, max_momentum
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        self.cycled = [_momentum(g) for g in optimizer.groups] if cycle_momentum else []
        super().__init__(optimizer)
        self._cycle()

    def _way(self, first: float, top: float, last: float, t: int) -> float:
        up = self.pct_start * self.total_steps - 1.0
        start, end, share = (
            (first, top, t / up if up else 1.0)
            if t <= up
            else (top, last, (t - up) / (self.total_steps - 1 - up))
        )
        return (
            _cosine(start, end, share)
            if self.strategy == "cos"
            else (start + (end - start) * share)
        )

    def rate(self, base: float, t: int, group: int) -> float:
        """The rate at time t."""
        if t > self.total_steps - 1:
            raise ValueError(
                f"[OneCycleLR] expected {self.total_steps} steps in all, got one more - count "
                "steps, not epochs, in total_steps"
            )
        first = self.max_lrs[group] / self.div_factor
        return self._way(first, self.max_lrs[group], first / self.final_div_factor, t)

    def _cycle(self) -> None:
        for group, key in zip(self.optimizer.groups, self.cycled, strict=False):
            high, low = self.max_momentum, self.base_momentum
            group[key] = self._way(high, low, high, self.last_epoch)

    def step(self) -> None:
        """Goes on by one step."""
        super().step()
        self._cycle()


def _momentum(group: Group) -> str:
    keys = set(group)
    key = "beta1" if "beta1" in keys else "momentum"
    if key not in keys or not group[key]:
        raise ValueError(
            "[OneCycleLR] expected an optimizer with momentum or betas, got one without - pass "
            "cycle_momentum=False"
        )
    return key


class SequentialLR(LRScheduler):
    """One schedule after the other; the time of each begins at its milestone.

    Args:
        optimizer: whose groups are to follow.
        schedulers: the schedules, made for the same optimizer.
        milestones: when the second and each later one takes over.

    Raises:
        ValueError: milestones that do not fit, or a schedule of another optimizer.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]
    ) -> None:
        if len(milestones) != len(schedulers) - 1 or list(milestones) != sorted(milestones):
            raise ValueError(
                f"[SequentialLR] expected {len(schedulers) - 1} milestones in order, got "
                f"{list(milestones)}"
            )
        if any(s.optimizer is not optimizer for s in schedulers):
            raise ValueError("[SequentialLR] expected schedules of this optimizer")
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        # Each schedule set the rates when it was made; they begin where the first one found them.
        for group, base in zip(optimizer.groups, schedulers[0].base_lrs, strict=True):
            group["lr"] = base
        super().__init__(optimizer)

    def rate(self, base: float, t: int, group: int) -> float:
        """The rate at time t."""
        at = bisect.bisect_right(self.milestones, t)
        start = self.milestones[at - 1] if at else 0
        return self.schedulers[at].rate(base, t - start, group)


class ReduceLROnPlateau:
    """Multiplies the rates by `factor` when a quantity has not improved for `patience` epochs.

    Args:
        optimizer: whose groups are to follow.
        mode: "min" or "max": which way is better.
        factor: below 1.
        patience: epochs without improvement that are let pass.
        threshold: what counts as an improvement.
        threshold_mode: "rel" or "abs": a fraction of the best value, or a difference.
        cooldown: epochs after a fall in which nothing is counted.
        min_lr: never below this.
        eps: a fall by less is left out.

    Raises:
        ValueError: a factor that is not below 1, or another mode.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(
                "[ReduceLROnPlateau] expected mode 'min' or 'max' and threshold_mode 'rel' or "
                f"'abs', got {mode!r} and {threshold_mode!r}"
            )
        if not 0 < factor < 1:
            raise ValueError(f"[ReduceLROnPlateau] expected 0 < factor < 1, got {factor}")
        self.optimizer, self.mode, self.factor = optimizer, mode, factor
        self.patience, self.cooldown, self.min_lr, self.eps = patience, cooldown, min_lr, eps
        self.threshold, self.relative = threshold, threshold_mode == "rel"
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0

    def _improved(self, value: float) -> bool:
        if not self.relative:
            gain = self.threshold
        else:
            gain = abs(self.best) * self.threshold if math.isfinite(self.best) else 0.0
        return value < self.best - gain if self.mode == "min" else value > self.best + gain

    def step(self, metrics: Any) -> None:
        """Takes the quantity of an epoch."""
        value = float(metrics)
        self.last_epoch += 1
        if self._improved(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            for group in self.optimizer.groups:
                lr = group["lr"]
                lower = max(lr * self.factor, self.min_lr)
                if lr - lower > self.eps:
                    group["lr"] = lower

    def get_last_lr(self) -> list[float]:
        """The rates of all groups."""
        return [group["lr"] for group in self.optimizer.groups]

    __repr__ = LRScheduler.__repr__

    def state_dict(self) -> dict[str, Any]:
        """Best value and what is counted, as plain numbers."""
        names = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts them back.

        Raises:
            ValueError: the state of something else.
        """
        own, state = self.state_dict(), state_mapping(state)
        if set(state) != set(own):
            raise ValueError(
                f"[ReduceLROnPlateau] expected a state with {', '.join(own)}, got {dict(state)}"
            )
        for name, value in state.items():
            setattr(self, name, value)
