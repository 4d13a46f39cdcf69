"""Instance normalization: each channel of each sample by its own mean and variance.

Source: Ulyanov, Vedaldi and Lempitsky, "Instance normalization: the missing ingredient for fast
stylization" (2016), arXiv:1607.08022.
"""

from __future__ import annotations

from ranvier import _core
from ranvier.ops._arguments import array, real
from ranvier.ops._channel_norm import OwnStatistics, RunningStatistics
from ranvier.tensor import Tensor


class _InstanceNorm(OwnStatistics):
    kernel = staticmethod(_core.instance_norm_train)
    gradient = staticmethod(_core.instance_norm_backward)


class _FixedInstanceNorm(RunningStatistics):
    kernel = staticmethod(_core.instance_norm_eval)
    gradient = staticmethod(_core.instance_norm_backward)


def instance_norm(
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    num_batches_tracked: Tensor | None = None,
) -> Tensor:
    """Normalizes each channel of each sample over its positions.

    y = (x - mean) / sqrt(variance + eps) * weight + bias, with mean and variance over the axes
    after (N, C). Running statistics, where given, become r <- (1 - momentum) r + momentum s in
    place, s being the mean over the samples of their means and unbiased variances.

    Args:
        x: (N, C, ...) with at least two positions, floating. The result lies physically
            channels-last.
        running_mean: (C), or None.
        running_var: (C), or None.
        weight: (C) factor of each channel, or None for 1.
        bias: (C) added to each channel, or None for 0.
        use_input_stats: normalize by x itself; False normalizes by the running statistics.
        momentum: weight of the new statistics.
        eps: keeps the root away from zero.
        num_batches_tracked: an int64 tensor with the number of batches, to which one is added.

    Raises:
        ValueError: one position only, shapes that differ, or missing running statistics.
        TypeError: x is not floating, or the dtypes differ.

    Example:
        >>> import ranvier as rv
        >>> x = rv.tensor([[[1.0, 3.0], [10.0, 30.0]]])
        >>> rv.functional.instance_norm(x, eps=0.0).tolist()
        [[[-1.0, 1.0], [-1.0, 1.0]]]
    """
    kept = [array("running_mean", running_mean), array("running_var", running_var)]
    if use_input_stats:
        count = array("num_batches_tracked", num_batches_tracked)
        return _InstanceNorm.apply(
            x,
            weight,
            bias,
            running=(*kept, count),
            momentum=real("momentum", momentum),
            eps=real("eps", eps),
        )
    if None in kept:
        raise ValueError(
            "[instance_norm] expected running_mean and running_var to normalize by, got None - "
            "pass them, or use_input_stats=True"
        )
    return _FixedInstanceNorm.apply(x, weight, bias, running=kept, eps=real("eps", eps))
