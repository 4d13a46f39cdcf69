"""Batch normalization: each channel by the mean and variance of the whole batch.

Source: Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing
internal covariate shift", ICML 2015.
"""

from __future__ import annotations

from ranvier import _core
from ranvier.ops._arguments import array, real
from ranvier.ops._channel_norm import OwnStatistics, RunningStatistics
from ranvier.tensor import Tensor, check_tensors


class _BatchNorm(OwnStatistics):
    kernel = staticmethod(_core.batch_norm_train)
    gradient = staticmethod(_core.batch_norm_backward)


class _FixedBatchNorm(RunningStatistics):
    kernel = staticmethod(_core.batch_norm_eval)
    gradient = staticmethod(_core.batch_norm_backward)


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
    num_batches_tracked: Tensor | None = None,
) -> Tensor:
    """Normalizes each channel: y = (x - mean) / sqrt(variance + eps) * weight + bias.

    In training, mean and variance are those of the batch, over all axes but the channels', and the
    running statistics are advanced in place: r <- (1 - momentum) r + momentum s. The variance that
    normalizes divides by n, the one that is kept by n - 1, as in PyTorch. Otherwise the running
    statistics normalize, and nothing changes.

    Statistics are accurate whatever the mean: pieces are merged as (mean, squared deviations).

    Args:
        x: (N, C) or (N, C, ...), floating. The result lies as planes
            where x does, else channels-last.
        running_mean: (C), or None.
        running_var: (C), or None.
        weight: (C) factor of each channel, or None for 1.
        bias: (C) added to each channel, or None for 0.
        training: use the batch's own statistics.
        momentum: weight of the new statistics, or None for the average over all batches so far,
            which needs `num_batches_tracked`.
        eps: keeps the root away from zero.
        num_batches_tracked: an int64 tensor with the number of batches; training adds one to it.

    Raises:
        ValueError: fewer than two values per channel in training (one value has no variance: let
            `DataLoader(last="auto")` join a single last sample to the batch before it, or call
            `model.eval()`), shapes that differ, or missing running statistics.
        TypeError: x is not floating, or the dtypes differ.

    Example:
        >>> import ranvier as rv
        >>> x = rv.tensor([[1.0], [3.0]])
        >>> rv.functional.batch_norm(x, None, None, training=True, eps=0.0).tolist()
        [[-1.0], [1.0]]
    """
    check_tensors(*(t for t in (running_mean, running_var) if t is not None))
    kept = [None if t is None else t.data for t in (running_mean, running_var)]
    if training:
        count = array("num_batches_tracked", num_batches_tracked)
        return _BatchNorm.apply(
            x, weight, bias, running=(*kept, count),
            momentum=-1.0 if momentum is None else real("momentum", momentum), eps=real("eps", eps),
        )  # fmt: skip
    if None in kept:
        raise ValueError(
            "[batch_norm] expected running_mean and running_var to normalize by, got None - pass "
            "them, or training=True to use the statistics of x"
        )
    return _FixedBatchNorm.apply(x, weight, bias, running=kept, eps=real("eps", eps))
