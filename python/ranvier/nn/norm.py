"""Normalization layers."""

from __future__ import annotations

from typing import Any, ClassVar

from ranvier import functional as F
from ranvier.creation import empty, ones, zeros
from ranvier.dtypes import int64
from ranvier.guards import guard
from ranvier.nn import init
from ranvier.nn.linear import positive
from ranvier.nn.module import Module
from ranvier.nn.parameter import Buffer, Parameter
from ranvier.tensor import Tensor

_AXES = {2: "(N, {c})", 3: "(N, {c}, L)", 4: "(N, {c}, H, W)", 5: "(N, {c}, D, H, W)"}


def _reset_scale(weight: Parameter | None, bias: Parameter | None) -> None:
    if weight is not None:
        init.ones_(weight)
    if bias is not None:
        init.zeros_(bias)


class _RunningNorm(Module):
    """Batch and instance norm: a factor and a bias per channel, and running statistics."""

    ndims: tuple[int, ...] = ()  # numbers of axes that an input may have

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
    ) -> None:
        positive(type(self).__name__, num_features=num_features)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = Parameter(empty(num_features)) if affine else None
        self.bias = Parameter(empty(num_features)) if affine else None
        track = track_running_stats
        self.running_mean = Buffer(zeros(num_features)) if track else None
        self.running_var = Buffer(ones(num_features)) if track else None
        self.num_batches_tracked = Buffer(zeros(dtype=int64)) if track else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and forgotten statistics."""
        _reset_scale(self.weight, self.bias)
        self.reset_running_stats()

    def reset_running_stats(self) -> None:
        """Running mean 0 and variance 1, as if no batch had been seen; in place."""
        if self.running_mean is not None:
            self.running_mean.zero_()
        if self.running_var is not None:
            self.running_var.fill_(1.0)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.zero_()

    def check(self, x: Tensor) -> None:
        """Raises ValueError if the layer does not take x."""
        if x.ndim in self.ndims and x.shape[1] == self.num_features:
            return
        layer, c = type(self).__name__, self.num_features
        wanted = " or ".join([_AXES[n].format(c=c) for n in self.ndims])
        text = f"[{layer}] expected x of shape {wanted}, got {x.shape}"
        if x.ndim in self.ndims:
            text += f" - did you mean {layer}({x.shape[1]})?"
        elif 2 <= x.ndim <= 5:
            text += f" - {layer[:-2]}{max(x.ndim - 2, 1)}d takes {x.ndim} axes"
        raise ValueError(text)

    def statistics(self) -> tuple[Tensor | None, Tensor | None]:
        """The running mean and variance; notes what a captured step has read of the layer."""
        guard(self, "momentum", self.momentum)
        guard(self, "eps", self.eps)
        return self.running_mean, self.running_var

    def extra_repr(self) -> str:
        """The channels, and whatever differs from the defaults."""
        defaults = self._defaults
        shown = [str(self.num_features)]
        shown += [f"{k}={getattr(self, k)}" for k, v in defaults.items() if getattr(self, k) != v]
        return ", ".join(shown)

    _defaults: ClassVar[dict[str, Any]] = {}


class _BatchNorm(_RunningNorm):
    _defaults: ClassVar = {
        "eps": 1e-5,
        "momentum": 0.1,
        "affine": True,
        "track_running_stats": True,
    }

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats)

    def forward(self, x: Tensor) -> Tensor:
        """The normalized batch."""
        self.check(x)
        mean, var = self.statistics()
        return F.batch_norm(
            x, mean, var, self.weight, self.bias, self.training or mean is None, self.momentum,
            self.eps, self.num_batches_tracked,
        )  # fmt: skip


class BatchNorm1d(_BatchNorm):
    """Batch normalization of features or sequences; see `BatchNorm2d`.

    Shapes:
        x (N, C) or (N, C, L) -> y of the same shape.
    """

    ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Normalizes each channel by the batch in training, by running statistics in evaluation.

    See `functional.batch_norm`. In training, the running statistics follow the batches; a captured
    step advances them at every replay.

    Args:
        num_features: C, number of channels.
        eps: added to the variance.
        momentum: weight of a new batch in the running statistics; None for the average over all.
        affine: whether there are a weight (from 1) and a bias (from 0) per channel.
        track_running_stats: whether running statistics are kept; without, evaluation also
            normalizes by the batch.

    Shapes:
        x (N, C, H, W) -> y (N, C, H, W).

    Raises:
        ValueError: x of another shape, or one value per channel in training.
    """

    ndims = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalization of volumes; see `BatchNorm2d`.

    Shapes:
        x (N, C, D, H, W) -> y of the same shape.
    """

    ndims = (5,)


class _InstanceNorm(_RunningNorm):
    _defaults: ClassVar = {
        "eps": 1e-5,
        "momentum": 0.1,
        "affine": False,
        "track_running_stats": False,
    }

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats)

    def forward(self, x: Tensor) -> Tensor:
        """The normalized samples."""
        self.check(x)
        mean, var = self.statistics()
        return F.instance_norm(
            x, mean, var, self.weight, self.bias, self.training or mean is None,
            0.1 if self.momentum is None else self.momentum, self.eps, self.num_batches_tracked,
        )  # fmt: skip


class InstanceNorm1d(_InstanceNorm):
    """Instance normalization of sequences; see `InstanceNorm2d`.

    Shapes:
        x (N, C, L) -> y (N, C, L).
    """

    ndims = (3,)


class InstanceNorm2d(_InstanceNorm):
    """Normalizes each channel of each sample over its positions; see `functional.instance_norm`.

    Args:
        num_features: C, number of channels.
        eps: added to the variance.
        momentum: weight of a new batch in the running statistics.
        affine: whether there are a weight (from 1) and a bias (from 0) per channel.
        track_running_stats: whether running statistics are kept, and used in evaluation.

    Shapes:
        x (N, C, H, W) -> y (N, C, H, W).

    Raises:
        ValueError: x of another shape, or with one position only.
    """

    ndims = (4,)


class InstanceNorm3d(_InstanceNorm):
    """Instance normalization of volumes; see `InstanceNorm2d`.

    Shapes:
        x (N, C, D, H, W) -> y of the same shape.
    """

    ndims = (5,)


class LayerNorm(Module):
    """Normalizes each sample over its last axes; see `functional.layer_norm`.

    Args:
        normalized_shape: sizes of these axes, a number or several.
        eps: added to the variance.
        elementwise_affine: whether there is a weight (from 1) for each of their elements.
        bias: whether there is a bias (from 0) as well.

    Shapes:
        x ``(..., *normalized_shape)`` -> y of the same shape.

    Raises:
        ValueError: x does not end in normalized_shape.
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        self.normalized_shape = _shape("LayerNorm", normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.weight = Parameter(empty(*self.normalized_shape)) if elementwise_affine else None
        self.bias = (
            Parameter(empty(*self.normalized_shape)) if elementwise_affine and bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1 and bias 0."""
        _reset_scale(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The normalized samples."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The sizes, and whatever differs from the defaults."""
        parts = [str(self.normalized_shape)]
        parts += [f"eps={self.eps}"] if self.eps != 1e-5 else []
        if not self.elementwise_affine:
            parts += ["elementwise_affine=False"]
        elif self.bias is None:
            parts += ["bias=False"]
        return ", ".join(parts)


class RMSNorm(Module):
    """Scales each sample to a mean square of one over its last axes; see `functional.rms_norm`.

    Args:
        normalized_shape: sizes of these axes, a number or several.
        eps: added to the mean square; by default the spacing of x's dtype at 1.
        elementwise_affine: whether there is a weight (from 1) for each of their elements.

    Shapes:
        x ``(..., *normalized_shape)`` -> y of the same shape.

    Raises:
        ValueError: x does not end in normalized_shape.
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float | None = None,
        elementwise_affine: bool = True,
    ) -> None:
        self.normalized_shape = _shape("RMSNorm", normalized_shape)
        self.eps = eps
        self.weight = Parameter(empty(*self.normalized_shape)) if elementwise_affine else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1."""
        _reset_scale(self.weight, None)

    def forward(self, x: Tensor) -> Tensor:
        """The scaled samples."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The sizes, and whatever differs from the defaults."""
        parts = [str(self.normalized_shape)]
        parts += [f"eps={self.eps}"] if self.eps is not None else []
        parts += ["elementwise_affine=False"] if self.weight is None else []
        return ", ".join(parts)


class GroupNorm(Module):
    """Normalizes groups of channels of each sample; see `functional.group_norm`.

    Args:
        num_groups: number of groups; it divides num_channels.
        num_channels: C, number of channels.
        eps: added to the variance.
        affine: whether there are a weight (from 1) and a bias (from 0) per channel.

    Shapes:
        x (N, C, ...) -> y of the same shape.

    Raises:
        ValueError: groups that do not divide the channels, or x of other channels.
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True
    ) -> None:
        positive("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        if num_channels % num_groups:
            raise ValueError(
                f"[GroupNorm] expected groups that divide the channels, got {num_groups} groups "
                f"for {num_channels} channels"
            )
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.weight = Parameter(empty(num_channels)) if affine else None
        self.bias = Parameter(empty(num_channels)) if affine else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1 and bias 0."""
        _reset_scale(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The normalized samples."""
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ValueError(
                f"[GroupNorm] expected x of shape (N, {self.num_channels}, ...), got {x.shape}"
            )
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The sizes, and whatever differs from the defaults."""
        parts = [f"{self.num_groups}, {self.num_channels}"]
        parts += [f"eps={self.eps}"] if self.eps != 1e-5 else []
        parts += ["affine=False"] if self.weight is None else []
        return ", ".join(parts)


class LocalResponseNorm(Module):
    """Divides by the activity of neighbouring channels; see `functional.local_response_norm`.

    Args:
        size: number of channels in the window.
        alpha: weight of the window's mean square.
        beta: exponent.
        k: what is added to it.

    Shapes:
        x (N, C, ...) -> y of the same shape.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        positive("LocalResponseNorm", size=size)
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        """The normalized samples."""
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class LocalContrastNorm(Module):
    """Each pixel against its Gaussian neighbourhood; see `functional.local_contrast_norm`.

    Args:
        kernel_size: side of the window, odd.
        sigma: standard deviation of the Gaussian in pixels; kernel_size / 4 by default.
        eps: variance below which nothing is seen as contrast.

    Shapes:
        x (N, C, H, W) -> y (N, C, H, W).
    """

    def __init__(self, kernel_size: int = 9, sigma: float | None = None, eps: float = 1e-6) -> None:
        positive("LocalContrastNorm", kernel_size=kernel_size)
        self.kernel_size, self.sigma, self.eps = kernel_size, sigma, eps

    def forward(self, x: Tensor) -> Tensor:
        """The normalized images."""
        return F.local_contrast_norm(x, self.kernel_size, self.sigma, self.eps)

    def extra_repr(self) -> str:
        """The settings."""
        sigma = "" if self.sigma is None else f", sigma={self.sigma}"
        return f"{self.kernel_size}{sigma}, eps={self.eps}"


def _shape(layer: str, shape: int | tuple[int, ...]) -> tuple[int, ...]:
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    for size in sizes:
        positive(layer, normalized_shape=size)
    if not sizes:
        raise ValueError(f"[{layer}] expected a normalized_shape of at least one axis, got ()")
    return sizes
