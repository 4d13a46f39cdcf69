"""What batch and instance normalization share: statistics of channels, their own or running ones.

A subclass names the kernels of its room.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ranvier import _core
from ranvier.autograd import Function
from ranvier.tensor import clock

Array = _core.Array


class _ChannelNorm(Function):
    autocast = "first"
    gradient: ClassVar[Callable[..., Any]]  # of x, weight and bias
    fixed = False  # whether the statistics do not depend on x
    eps = 0.0

    def backward(self, grad: Array) -> Any:
        x, weight, mean, spread = self.saved
        want_x, want_weight, want_bias = self.needs
        dx, dweight, dbias = self.gradient(
            grad, x, weight, mean, spread, self.fixed, self.eps, want_x, want_weight or want_bias
        )
        return (
            dx if want_x else None,
            dweight if want_weight else None,
            dbias if want_bias else None,
        )


class OwnStatistics(_ChannelNorm):
    """By the statistics of x itself; the running ones are advanced in place by the kernel."""

    kernel: ClassVar[Callable[..., Any]]

    def forward(
        self, x: Array, weight: Any, bias: Any, *, running: Any, momentum: float, eps: float
    ) -> Array:
        kept_mean, kept_var, count = running
        y, mean, invstd = self.kernel(x, weight, bias, kept_mean, kept_var, count, momentum, eps)
        for array in running:
            if array is not None:
                clock.changed(array)
        self.save(x, weight, mean, invstd)
        return y


class RunningStatistics(_ChannelNorm):
    """By running statistics, which x does not change."""

    kernel: ClassVar[Callable[..., Any]]
    fixed = True

    def forward(self, x: Array, weight: Any, bias: Any, *, running: Any, eps: float) -> Array:
        mean, variance = running
        self.save(x, weight, mean, variance)
        self.eps = eps
        return self.kernel(x, weight, bias, mean, variance, eps)
