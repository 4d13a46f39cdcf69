"""Activations and dropout as layers."""

from __future__ import annotations

from ranvier import functional as F
from ranvier.capture import CaptureError, is_capturing
from ranvier.creation import zeros
from ranvier.dtypes import float64
from ranvier.nn.module import Module
from ranvier.tensor import Tensor


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        """max(x, 0)."""
        return F.relu(x)


class LeakyReLU(Module):
    """max(x, 0) + negative_slope min(x, 0).

    Args:
        negative_slope: slope left of zero.
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """max(x, 0) + negative_slope min(x, 0)."""
        return F.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        """The slope."""
        return f"negative_slope={self.negative_slope}"


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, x: Tensor) -> Tensor:
        """1 / (1 + exp(-x))."""
        return F.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        """tanh(x)."""
        return F.tanh(x)


class Softmax(Module):
    """exp(x) / sum(exp(x)) along an axis.

    Args:
        dim: the axis.
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities."""
        return F.softmax(x, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """x - log(sum(exp(x))) along an axis.

    Args:
        dim: the axis.
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Logarithms of probabilities."""
        return F.log_softmax(x, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Dropout(Module):
    """Zeroes each element with probability p while training and scales the others by 1 / (1 - p).

    Args:
        p: probability to drop. `layer.p = 0.3` changes it later, also under a captured step.

    Raises:
        ValueError: p outside [0, 1].

    Source: Srivastava et al., "Dropout", JMLR 15 (2014).
    """

    def __init__(self, p: float = 0.5) -> None:
        self._p = zeros((), dtype=float64)  # read by the kernel, never baked into a captured step
        self.p = p

    @property
    def p(self) -> float:
        """Probability to drop."""
        return self._p.item()

    @p.setter
    def p(self, value: float) -> None:
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"[Dropout] expected a probability from 0 to 1, got {value}")
        if is_capturing():
            raise CaptureError(
                "[Dropout] expected p to change between steps, got a change inside a captured "
                "step, which would be replayed as a constant - set it outside"
            )
        self._p.fill_(value)

    def forward(self, x: Tensor) -> Tensor:
        """The input, thinned while training."""
        return F.dropout(x, self._p, self.training)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"
