"""What the recurrent rooms read alike: lengths, steps of one, choices by name."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from ranvier.dtypes import int64
from ranvier.tensor import Tensor, tensor

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
