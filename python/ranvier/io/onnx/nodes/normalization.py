"""Normalization by statistics or norms."""

from __future__ import annotations

from typing import Any

import ranvier.functional as F
from ranvier.io.onnx.graph import Unsupported, node
from ranvier.tensor import Tensor


@node("BatchNormalization")
def _batch_norm(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, *,
    epsilon: float = 1e-5, momentum: float = 0.9, training_mode: int = 0, spatial: int = 1,
    is_test: int = 1, consumed_inputs: list[int] | None = None,
) -> Any:  # fmt: skip
    if not spatial or not is_test:
        raise Unsupported("BatchNormalization of the operator sets before 9")
    if not training_mode:
        return F.batch_norm(x, mean, variance, scale, bias, False, 0.1, epsilon)
    y = F.batch_norm(x, None, None, scale, bias, True, 0.1, epsilon)
    # ONNX keeps the variance over n, our running statistics keep the unbiased one
    axes = (0, *range(2, x.ndim))
    new = F.mean(x, axes), F.var(x, axes, correction=0)
    kept = [
        old * momentum + s * (1 - momentum) for old, s in zip((mean, variance), new, strict=True)
    ]
    return y, kept[0], kept[1]


@node("InstanceNormalization")
def _instance_norm(x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    return F.instance_norm(x, None, None, scale, bias, eps=epsilon)


@node("GroupNormalization")
def _group_norm(
    x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5, num_groups: int,
    stash_type: int = 1, opset: int,
) -> Tensor:  # fmt: skip
    if opset < 21:  # one number for each group, not for each channel
        each = x.shape[1] // num_groups
        scale, bias = (t.unsqueeze(1).expand(-1, each).reshape(-1) for t in (scale, bias))
    return F.group_norm(x, num_groups, scale, bias, epsilon)


@node("LayerNormalization")
def _layer_norm(
    x: Tensor, scale: Tensor, bias: Tensor | None = None, *, axis: int = -1, epsilon: float = 1e-5,
    stash_type: int = 1, outputs: int,
) -> Any:  # fmt: skip
    axis %= x.ndim
    shape = x.shape[axis:]
    weight = F.broadcast_to(scale, shape).contiguous()
    offset = None if bias is None else F.broadcast_to(bias, shape).contiguous()
    y = F.layer_norm(x, shape, weight, offset, epsilon)
    if outputs == 1:
        return y
    dims = tuple(range(axis, x.ndim))
    variance = F.var(x, dims, keepdim=True, correction=0)
    return y, F.mean(x, dims, True), F.rsqrt(variance + epsilon)


@node("RMSNormalization")
def _rms_norm(
    x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Tensor:
    shape = x.shape[axis % x.ndim :]
    return F.rms_norm(x, shape, F.broadcast_to(scale, shape).contiguous(), epsilon)


@node("MeanVarianceNormalization")
def _mean_variance(x: Tensor, *, axes: list[int] | None = None) -> Tensor:
    dims = tuple(axes or (0, 2, 3))
    deviation = F.std(x, dims, keepdim=True, correction=0)
    return (x - F.mean(x, dims, True)) / (deviation + 1e-9)


@node("LRN")
def _local_response(
    x: Tensor, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, size: int
) -> Tensor:
    if size % 2:
        return F.local_response_norm(x, size, alpha, beta, bias)
    back = (slice(None), slice(None, None, -1))  # ONNX's longer side is after, ours is before
    return F.local_response_norm(x[back].contiguous(), size, alpha, beta, bias)[back]


@node("LpNormalization")
def _lp_normalization(x: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    return F.normalize(x, p, axis)
