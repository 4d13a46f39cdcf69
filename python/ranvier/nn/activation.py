"""Activations and dropout as layers; the formulas and sources stand in `ranvier.functional`.

Many take `inplace`, as in PyTorch, so that scripts may say it; the result is a tensor of its own
all the same, and a captured step puts it where an operand dies anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from ranvier import functional as F
from ranvier.capture import CaptureError, is_capturing
from ranvier.creation import full, zeros
from ranvier.dtypes import float64
from ranvier.nn.module import Module
from ranvier.nn.parameter import Parameter
from ranvier.tensor import Tensor


class _Activation(Module):
    """A function of `ranvier.functional`, called with the attributes named in `options`."""

    function: ClassVar[Callable[..., Tensor]]
    options: ClassVar[tuple[str, ...]] = ()
    inplace = False

    def forward(self, x: Tensor) -> Tensor:
        """The function of x."""
        return type(self).function(x, *self._read_options(self.options).values())

    def extra_repr(self) -> str:
        """The options."""
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.options)


class ReLU(_Activation):
    """max(x, 0).

    Args:
        inplace: makes no difference.
    """

    function = staticmethod(F.relu)

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace


class ReLU6(_Activation):
    """min(max(x, 0), 6).

    Args:
        inplace: makes no difference.
    """

    function = staticmethod(F.relu6)

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace


class LeakyReLU(_Activation):
    """max(x, 0) + negative_slope min(x, 0).

    Args:
        negative_slope: slope left of zero.
        inplace: makes no difference.
    """

    function = staticmethod(F.leaky_relu)
    options = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self.negative_slope, self.inplace = negative_slope, inplace


class PReLU(Module):
    """max(x, 0) + weight min(x, 0), with a slope left of zero that is learned.

    Args:
        num_parameters: 1 for all, or the number of channels for a slope each.
        init: its first value.
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        self.num_parameters = num_parameters
        self.weight = Parameter(full((num_parameters,), init))

    def forward(self, x: Tensor) -> Tensor:
        """The rectified x, any shape; (N, C, ...) for a slope per channel."""
        return F.prelu(x, self.weight)

    def extra_repr(self) -> str:
        """The number of slopes."""
        return f"num_parameters={self.num_parameters}"


class ELU(_Activation):
    """x for x > 0, else alpha (e^x - 1).

    Args:
        alpha: minus the limit on the left.
        inplace: makes no difference.
    """

    function = staticmethod(F.elu)
    options = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha, self.inplace = alpha, inplace


class CELU(_Activation):
    """x for x > 0, else alpha (e^(x / alpha) - 1).

    Args:
        alpha: minus the limit on the left.
        inplace: makes no difference.
    """

    function = staticmethod(F.celu)
    options = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha, self.inplace = alpha, inplace


class SELU(_Activation):
    """The exponential linear unit that keeps mean 0 and variance 1.

    Args:
        inplace: makes no difference.
    """

    function = staticmethod(F.selu)

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace


class GELU(_Activation):
    """x times the probability of a standard normal number below x.

    Args:
        approximate: "none", or "tanh" for an approximation.
    """

    function = staticmethod(F.gelu)
    options = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate


class SiLU(_Activation):
    """x sigmoid(x).

    Args:
        inplace: makes no difference.
    """

    function = staticmethod(F.silu)

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace


class Swish(Module):
    """x sigmoid(beta x).

    Args:
        beta: the steepness, or its first value.
        learn_beta: whether it is learned.
        num_parameters: 1 for all, or the number of channels for a learned beta each.

    Raises:
        ValueError: several betas that are not learned.
    """

    def __init__(
        self, beta: float = 1.0, learn_beta: bool = False, num_parameters: int = 1
    ) -> None:
        if num_parameters != 1 and not learn_beta:
            raise ValueError(
                f"[Swish] expected one beta that is given, got num_parameters={num_parameters} - "
                "set learn_beta=True"
            )
        self.beta = Parameter(full((num_parameters,), beta)) if learn_beta else float(beta)

    def forward(self, x: Tensor) -> Tensor:
        """The activation of x, any shape; (N, C, ...) for a beta per channel."""
        return F.swish(x, self.beta)

    def extra_repr(self) -> str:
        """The beta, or how many are learned."""
        if isinstance(self.beta, Tensor):
            return f"learn_beta=True, num_parameters={self.beta.size}"
        return f"beta={self.beta}"


class Mish(_Activation):
    """x tanh(softplus(x)).

    Args:
        inplace: makes no difference.
    """

    function = staticmethod(F.mish)

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace


class Sigmoid(_Activation):
    """1 / (1 + e^-x)."""

    function = staticmethod(F.sigmoid)


class Logistic(_Activation):
    """1 / (1 + e^(-slope x)).

    Args:
        slope: four times the steepness at 0.
    """

    function = staticmethod(F.logistic)
    options = ("slope",)

    def __init__(self, slope: float = 1.0) -> None:
        self.slope = slope


class HalfTanh(_Activation):
    """(1 + tanh(beta x)) / 2: the probability that a stochastic neuron fires.

    Args:
        beta: the inverse of the noise.
    """

    function = staticmethod(F.half_tanh)
    options = ("beta",)

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = beta


class LogSigmoid(_Activation):
    """log(1 / (1 + e^-x)), without overflow."""

    function = staticmethod(F.logsigmoid)


class Tanh(_Activation):
    """The hyperbolic tangent."""

    function = staticmethod(F.tanh)


class Hardtanh(_Activation):
    """x limited to [min_val, max_val].

    Args:
        min_val: the lower limit.
        max_val: the upper limit.
        inplace: makes no difference.
    """

    function = staticmethod(F.hardtanh)
    options = ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace


class Hardsigmoid(_Activation):
    """x / 6 + 1/2, limited to [0, 1].

    Args:
        inplace: makes no difference.
    """

    function = staticmethod(F.hardsigmoid)

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace


class Hardswish(_Activation):
    """x times `Hardsigmoid`.

    Args:
        inplace: makes no difference.
    """

    function = staticmethod(F.hardswish)

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace


class Softplus(_Activation):
    """log(1 + e^(beta x)) / beta.

    Args:
        beta: the steepness of the bend.
    """

    function = staticmethod(F.softplus)
    options = ("beta",)

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = beta


class Softsign(_Activation):
    """``x / (1 + |x|)``."""

    function = staticmethod(F.softsign)


class Heaviside(_Activation):
    """The threshold element: 0 below 0, else 1. No gradient flows through it."""

    function = staticmethod(F.heaviside)


class BipolarStep(_Activation):
    """-1 below 0, else 1. No gradient flows through it."""

    function = staticmethod(F.bipolar_step)


class Softmax(_Activation):
    """e^x / sum(e^x) along an axis.

    Args:
        dim: the axis.
    """

    function = staticmethod(F.softmax)
    options = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim


class Softmin(_Activation):
    """e^-x / sum(e^-x) along an axis.

    Args:
        dim: the axis.
    """

    function = staticmethod(F.softmin)
    options = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim


class LogSoftmax(_Activation):
    """x - log(sum(e^x)) along an axis.

    Args:
        dim: the axis.
    """

    function = staticmethod(F.log_softmax)
    options = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim


class GLU(_Activation):
    """a sigmoid(b), with a and b the halves of x along an axis.

    Args:
        dim: the axis that is halved.
    """

    function = staticmethod(F.glu)
    options = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim


class Dropout(Module):
    """Zeroes each element with probability p while training and scales the others by 1 / (1 - p).

    Args:
        p: probability to drop. `layer.p = 0.3` changes it later, also under a captured step.
        inplace: makes no difference.

    Raises:
        ValueError: p outside [0, 1].

    Source: Srivastava et al., "Dropout", JMLR 15 (2014).
    """

    _settings = ("_p",)

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        self.inplace = inplace
        self._p = zeros((), dtype=float64)  # read by the kernel, never baked into a captured step
        self.p = p

    @property
    def p(self) -> float:
        """Probability to drop."""
        return self._p.item()

    @p.setter
    def p(self, value: float) -> None:
        if isinstance(value, str) or not hasattr(value, "__float__") or not 0.0 <= value <= 1.0:
            raise ValueError(
                f"[{type(self).__name__}] expected a probability from 0 to 1, got {value!r}"
            )
        if is_capturing():
            raise CaptureError(
                f"[{type(self).__name__}] expected p to change between steps, got a change inside "
                "a captured step, which would be replayed as a constant - set it outside"
            )
        self._p.fill_(value)

    def forward(self, x: Tensor) -> Tensor:
        """The input, thinned while training."""
        return F.dropout(x, self._p, self.training)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"


class _ChannelDropout(Dropout):
    """Drops whole channels: what lies in one is much alike, so single elements would be guessed.

    Source: Tompson et al., "Efficient object localization using convolutional networks", CVPR
    (2015), section 3.2.
    """

    axes: ClassVar[int]

    def forward(self, x: Tensor) -> Tensor:
        """The input, of which whole channels are zero while training."""
        if x.ndim != self.axes + 2:
            raise ValueError(
                f"[{type(self).__name__}] expected x of {self.axes + 2} axes (N, C, ...), got "
                f"shape {x.shape}"
            )
        if not self.training:
            return x
        ones = full((*x.shape[:2], *(1,) * self.axes), 1.0, dtype=x.dtype, device=x.device)
        return x * F.dropout(ones, self._p)


class Dropout1d(_ChannelDropout):
    """Drops whole channels of (N, C, L) with probability p while training, see `Dropout`."""

    axes = 1


class Dropout2d(_ChannelDropout):
    """Drops whole channels of (N, C, H, W) with probability p while training, see `Dropout`."""

    axes = 2


class Dropout3d(_ChannelDropout):
    """Drops whole channels of (N, C, D, H, W) with probability p while training, see `Dropout`."""

    axes = 3


class Softmax2d(Module):
    """Softmax over the channels at each place of (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """The probabilities."""
        if x.ndim not in (3, 4):
            raise ValueError(f"[Softmax2d] expected (N, C, H, W) or (C, H, W), got {x.shape}")
        return F.softmax(x, -3)
