"""Mixed precision: products in bfloat16 or float16, the rest as exact as it needs to be.

Inside `autocast` each op follows its rule (`Function.autocast`), after PyTorch's lists:

* ``"low"`` (linear, matmul, convolutions, PReLU): float32 arguments are rounded to the lower type,
  and so is the result. Tensor cores multiply such numbers many times as fast; sums are float32.
* ``"float32"`` (softmax, losses, layer and group norms, sums, products, norms, running sums, and
  the functions that grow or cancel: exp, log, pow, reciprocal ...): lower arguments are widened,
  the result is float32.
* none: the op takes what it is given. Of lower numbers it is computed in float32 and rounded once;
  together with float32 ones the result is float32, but for norms with running statistics, which
  answer in the type of x. What is kept for backward is kept in the lower type where it is an
  argument or a result.

Parameters and their gradients stay float32 (the casts are part of the graph), so optimizers need
not know. float64 and whole numbers are left alone.

Source: Micikevicius et al., "Mixed precision training", ICLR 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ranvier import _core
from ranvier.autograd import AUTOCAST_BITS, Function
from ranvier.dtypes import DType, bfloat16, float16, float32
from ranvier.tensor import Tensor

Array = _core.Array

_LOWER = {4: bfloat16, 8: float16}  # by the bit of the thread's mode
_HALVES = (bfloat16.code, float16.code)


@contextmanager
def autocast(
    *given: Any, dtype: DType = bfloat16, enabled: bool = True, device_type: Any = None
) -> Iterator[None]:
    """Runs the ops inside in mixed precision: a context manager and a decorator.

    Thread-local. Put the forward pass and the loss inside, `backward` and the optimizer outside (it
    does no harm inside). A captured step may hold it, or be called in it: it is recorded for each
    setting. The cpu has no arithmetic for these types: there the numbers are those of a GPU to a
    few roundings, and nothing is gained in time.

    float16 reaches from 6e-8 to 65504 only: scale the loss up, and gradients down before the step.
    bfloat16 has the range of float32 and needs none of that.

    Args:
        *given: a dtype and `enabled`, without their names.
        dtype: rv.bfloat16 or rv.float16.
        enabled: False switches it off inside, for parts that need float32.
        device_type: "cpu" or "cuda", as PyTorch wants it, also without its name; makes no
            difference.

    Raises:
        TypeError: another dtype.

    Example:
        >>> import ranvier as rv
        >>> x, w = rv.ones(2, 3), rv.ones(4, 3, requires_grad=True)
        >>> with rv.autocast():
        ...     y = rv.functional.linear(x, w)
        ...     loss = rv.functional.mse_loss(y, rv.zeros(2, 4))
        >>> y.dtype.name, loss.dtype.name
        ('bfloat16', 'float32')
        >>> loss.backward()
        >>> w.grad.dtype.name
        'float32'
    """
    for value in (*given, *(() if device_type is None else (device_type,))):
        if isinstance(value, bool):
            enabled = value
        elif not (isinstance(value, str) and value in ("cpu", "cuda")):
            dtype = value
    bit = next((b for b, lower in _LOWER.items() if lower == dtype), 0)
    if not bit:
        raise TypeError(f"[autocast] expected rv.bfloat16 or rv.float16, got {dtype!r}")
    before = _core.mode()
    _core.set_mode(before & ~AUTOCAST_BITS | (bit if enabled else 0))
    try:
        yield
    finally:
        _core.set_mode(_core.mode() & ~AUTOCAST_BITS | before & AUTOCAST_BITS)


def autocast_dtype() -> DType | None:
    """The lower type that ops of this thread are cast to; None outside `autocast`."""
    return _LOWER.get(_core.mode() & AUTOCAST_BITS)


def apply(cls: type[Function], mode: int, args: Any, options: dict[str, Any]) -> Any:
    """`Function.apply` inside `autocast`."""
    _core.set_mode(mode & ~AUTOCAST_BITS)
    try:
        rule = cls.autocast
        if rule == "low":
            lower = _LOWER[mode & AUTOCAST_BITS]
            args = [_cast(a, lower, (float32.code, *_HALVES)) for a in args]
        elif rule == "float32" or (callable(rule) and rule(*args, **options)):
            args = [_cast(a, float32, _HALVES) for a in args]
        if not cls.halves and any(_is_half(a) for a in args):
            return _Widened.apply(*args, function=cls, options=options)
        return cls.apply(*args, **options)
    finally:
        _core.set_mode(mode)


def _cast(a: Any, dtype: DType, codes: tuple[int, ...]) -> Any:
    return a.to(dtype) if isinstance(a, Tensor) and a.data.dtype in codes else a


def _is_half(a: Any) -> bool:
    return isinstance(a, Tensor) and a.data.dtype in _HALVES


class _Widened(Function):
    """Another Function, computed in float32 between tensors of half precision."""

    halves = True

    def forward(self, *args: Any, function: type[Function], options: Any) -> Any:
        self.inner = inner = function()
        inner.needs = self.needs
        self.types = [a.dtype if isinstance(a, Array) else None for a in args]
        wide = [a.cast(0) if t in _HALVES else a for a, t in zip(args, self.types, strict=True)]
        out = inner.forward(*wide, **options)
        floating = [t for t in self.types if t is not None and t < 4]
        lower = next(t for t in floating if t in _HALVES)
        if function.autocast == "first":
            round_it = floating[0] in _HALVES
        else:
            round_it = all(t in _HALVES for t in floating)
        outputs = out if isinstance(out, tuple) else (out,)
        given = [y.cast(lower) if round_it and y.dtype == 0 else y for y in outputs]
        # Kept in half the memory where it is kept in the caller's hands anyway.
        pairs = [*zip(wide, args, strict=True), *zip(outputs, given, strict=True)]
        narrow = {id(w): a for w, a in pairs if w is not a}
        if inner.saved is not None:
            self.widened = [id(a) in narrow for a in inner.saved]
            self.save(*[narrow.get(id(a), a) for a in inner.saved])
            inner.saved = None
        return tuple(given) if isinstance(out, tuple) else given[0]

    def backward(self, *grads: Any) -> Any:
        inner = self.inner
        if self.saved is not None:
            inner.saved = tuple(
                [a.cast(0) if w else a for a, w in zip(self.saved, self.widened, strict=True)]
            )
        back = inner.backward(*[g.cast(0) if _half_array(g) else g for g in grads])
        inner.saved = None
        if not isinstance(back, tuple):
            back = (back,)
        return tuple(
            [
                g.cast(t) if g is not None and t is not None else g
                for g, t in zip(back, self.types, strict=True)
            ]
        )


def _half_array(g: Any) -> bool:
    return g is not None and g.dtype in _HALVES
