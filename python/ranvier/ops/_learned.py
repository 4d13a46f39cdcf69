"""What activations with a learned parameter have in common."""

from __future__ import annotations

from ranvier.tensor import Tensor


def per_channel(op: str, x: Tensor, weight: Tensor, name: str) -> Tensor:
    """A learned number, or one per channel of x (N, C, ...), in a shape that broadcasts to x."""
    for what, t in (("x", x), (name, weight)):
        if not isinstance(t, Tensor):
            raise TypeError(
                f"[{op}] expected {what} as a tensor, got {type(t).__name__} - wrap it in rv.tensor"
            )
        if t.dtype.name not in ("float32", "float64"):
            raise TypeError(
                f"[{op}] expected {what} of dtype float32 or float64, got {t.dtype.name} - convert "
                "it with .to(rv.float32)"
            )
    if weight.size == 1 and weight.ndim <= 1:
        return weight.reshape(()) if weight.ndim else weight
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.shape != (channels,):
        raise ValueError(
            f"[{op}] expected {name} of shape () or ({channels},), one per channel of x "
            f"{x.shape}, got {weight.shape}"
        )
    return weight.reshape(channels, *[1] * (x.ndim - 2))
