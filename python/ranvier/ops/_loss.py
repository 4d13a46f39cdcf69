"""What losses have in common: one number per element or sample, averaged, summed, or as it is."""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import AUTOCAST_BITS
from ranvier.tensor import Tensor


def check_reduction(op: str, reduction: str) -> None:
    """Raises ValueError for an unknown one."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"[{op}] expected reduction 'mean', 'sum' or 'none', got {reduction!r}")


def check_tensors(op: str, **arguments: Any) -> None:
    """Raises TypeError for an argument that is no tensor."""
    for name, value in arguments.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"[{op}] expected {name} as a tensor, got {type(value).__name__} - wrap it in "
                "rv.tensor"
            )


def check_floating(op: str, **arguments: Tensor) -> None:
    """Raises TypeError for integers, truth values and, outside autocast, half precision."""
    for name, value in arguments.items():
        if value.dtype.name in ("bfloat16", "float16") and _core.mode() & AUTOCAST_BITS:
            continue
        if value.dtype.name not in ("float32", "float64"):
            raise TypeError(
                f"[{op}] expected {name} of dtype float32 or float64, got {value.dtype.name} - "
                "convert it with .to(rv.float32)"
            )


def check_same_shape(op: str, input: Tensor, target: Tensor) -> None:
    """Raises ValueError for a target of another shape."""
    if input.shape != target.shape:
        raise ValueError(
            f"[{op}] expected a target of the input's shape {input.shape}, got {target.shape} - "
            "reshape one of them"
        )


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """The mean, the sum, or the losses themselves."""
    if reduction == "none":
        return losses
    total: Tensor = losses.mean() if reduction == "mean" else losses.sum()
    return total
