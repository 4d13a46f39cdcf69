r"""Learning-rate schedules: functions from the time t, in epochs, to a factor of the base rate.

The learning rate at time t is base * schedule(t). Time is a fraction: after 30 of 120 steps of
the first epoch t is 0.25. A schedule is any function of one number, so yours may be a lambda.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float], float]


def constant() -> Schedule:
    """The base rate throughout."""
    return lambda t: 1.0


def step(every: float, gamma: float = 0.1) -> Schedule:
    r"""Multiply by gamma every so many epochs: gamma ** floor(t / every).

    Raises:
        ValueError: `every` is not positive.

    Example:
        >>> schedule = step(every=10)
        >>> [schedule(t) for t in (0, 9.9, 10)]
        [1.0, 1.0, 0.1]
    """
    _positive("step", "every", every)
    return lambda t: float(gamma ** math.floor(t / every))


def exponential(gamma: float) -> Schedule:
    """Multiply by gamma each epoch, smoothly: gamma ** t.

    Raises:
        ValueError: gamma is not positive.
    """
    _positive("exponential", "gamma", gamma)
    return lambda t: float(gamma**t)


def cosine(epochs: float, final: float = 0.0) -> Schedule:
    r"""Half a cosine from 1 to `final`: final + (1 - final) (1 + cos(pi t / epochs)) / 2.

    After `epochs` it stays at `final`.

    Raises:
        ValueError: `epochs` is not positive.

    Source: Loshchilov and Hutter, "SGDR: Stochastic gradient descent with warm restarts", 2017,
    without the restarts.

    Example:
        >>> schedule = cosine(10)
        >>> [round(schedule(t), 3) for t in (0, 5, 10, 11)]
        [1.0, 0.5, 0.0, 0.0]
    """
    _positive("cosine", "epochs", epochs)

    def factor(t: float) -> float:
        part = min(max(t / epochs, 0.0), 1.0)
        return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * part))

    return factor


def warmup(epochs: float, then: Schedule | None = None, start: float = 0.0) -> Schedule:
    """Rise linearly from `start` to 1 over `epochs`, then follow `then`, whose time begins there.

    Raises:
        ValueError: `epochs` is negative.

    Source: Goyal et al., "Accurate, large minibatch SGD", 2017, section 2.2.

    Example:
        >>> schedule = warmup(2, cosine(8))
        >>> [round(schedule(t), 3) for t in (0, 1, 2, 6, 10)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if epochs < 0:
        raise ValueError(f"[warmup] expected epochs of at least 0, got {epochs}")
    after = then or constant()

    def factor(t: float) -> float:
        if t < epochs:
            return start + (1.0 - start) * t / epochs
        return after(t - epochs)

    return factor


def _positive(schedule: str, name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"[{schedule}] expected {name} above 0, got {value}")
