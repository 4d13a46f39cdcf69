"""What the recurrent rooms read alike: lengths, steps of one, choices by name."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.creation import zeros
from ranvier.dtypes import int64
from ranvier.tensor import Tensor, tensor

Array = _core.Array
Lengths = Tensor | Sequence[int] | None


def tensors(op: str, **arguments: Any) -> None:
    """Checks that arguments are tensors, or None where the name ends in an underscore.

    Raises:
        TypeError: something else.
    """
    for name, value in arguments.items():
        if not (isinstance(value, Tensor) or (value is None and name.endswith("_"))):
            raise TypeError(
                f"[{op}] expected {name.rstrip('_')} to be a tensor, got {type(value).__name__} - "
                "wrap it in rv.tensor"
            )


def as_lengths(op: str, lengths: Any, x: Tensor) -> Tensor | None:
    """Lengths as a tensor beside x.

    Raises:
        TypeError: not whole numbers.
    """
    if lengths is None or isinstance(lengths, Tensor):
        return lengths
    try:
        if isinstance(lengths, set | dict | frozenset):
            raise TypeError  # they have no order
        numbers = [operator.index(n) for n in lengths]
    except TypeError:
        raise TypeError(
            f"[{op}] expected lengths as a tensor or a list of whole numbers, got {lengths!r}"
        ) from None
    return tensor(numbers, dtype=int64, device=x.device)


def choice(op: str, name: str, value: str, known: Sequence[str]) -> int:
    """The place of a name among those that are known.

    Raises:
        ValueError: an unknown name.
    """
    if value not in known:
        raise ValueError(f"[{op}] expected {name} to be one of {', '.join(known)}, got {value!r}")
    return list(known).index(value)


def one_step(op: str, x: Any) -> None:
    """Checks that x is one step, (N, I).

    Raises:
        ValueError: x has other axes.
    """
    tensors(op, x=x)
    if x.ndim != 2:
        raise ValueError(
            f"[{op}] expected x of shape (N, I), got {x.shape} - a cell takes one step; the layer "
            "of the same name takes a sequence"
        )


def as_sequence(x: Any) -> Any:
    """An Array (N, I) as the sequence (1, N, I)."""
    return x.reshape((1, *x.shape))


def one_input(dx: Any) -> Any:
    """The gradient of such a sequence as that of its only step; None stays None."""
    return None if dx is None else dx.reshape(dx.shape[1:])


# ---- the layers once more, from ordinary ops ----


class _Steps(Function):
    """Joins the outputs of T steps, (N, H) each, into (T, N, H)."""

    def forward(self, *steps: Array) -> Array:
        first = steps[0]
        joined = _core.empty((len(steps), *first.shape), first.dtype, first.device)
        for t, step in enumerate(steps):
            part: Any = joined.index(t)
            _core.copy_into(part, step)
        return joined

    def backward(self, grad: Array) -> Any:
        return tuple([grad.index(t) for t in range(len(self.needs))])


def walk(
    x: Tensor,
    state: tuple[Tensor, ...],
    step: Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]],
    lengths: Tensor | None,
    reverse: bool,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs `step(x_t, state) -> state` over a sequence; the first entry of a state is its output.

    A sample that has no step t keeps its state and puts out zeros.
    """
    outputs: list[Any] = [None] * x.shape[0]
    inputs = x.unbind(0)
    times = range(len(inputs))
    for t in reversed(times) if reverse else times:
        new = step(inputs[t], state)
        if lengths is None:
            state, outputs[t] = new, new[0]
            continue
        active = (lengths > t).unsqueeze(1)
        state = tuple([a.where(active, b) for a, b in zip(new, state, strict=True)])
        outputs[t] = new[0].where(active, 0.0)
    return _Steps.apply(*outputs), state


def start(state: Tensor | None, x: Tensor, width: int) -> Tensor:
    """An initial state (N, width): zeros where it is None."""
    return zeros(x.shape[1], width, dtype=x.dtype, device=x.device) if state is None else state


def affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W' + b."""
    return x @ weight.T if bias is None else x @ weight.T + bias
