"""Arguments that the convolution and pooling families read alike."""

from __future__ import annotations

import operator
from typing import Any

Sizes = int | tuple[int, ...]


def per_axis(op: str, name: str, value: Any, axes: int) -> tuple[int, ...]:
    """One whole number for all spatial axes, or one for each.

    Raises:
        TypeError: not whole numbers.
        ValueError: another number of entries than there are axes.
    """
    try:
        if not isinstance(value, (tuple, list)):
            return (operator.index(value),) * axes
        result = tuple([operator.index(v) for v in value])
    except TypeError:
        raise TypeError(
            f"[{op}] expected {name} as a whole number or {axes} of them, got {value!r}"
        ) from None
    if len(result) != axes:
        raise ValueError(
            f"[{op}] expected {name} as one number or {axes} of them, got {len(result)}: {value!r}"
        )
    return result
