"""Arguments that the convolution and pooling families read alike."""

from __future__ import annotations

import operator
from typing import Any

Sizes = int | tuple[int, ...]


def per_axis(op: str, name: str, value: Any, axes: int) -> tuple[int, ...]:
    """One whole number for all spatial axes, or one for each.

    Raises:
        TypeError: not whole numbers.
        ValueError: another number of entries than there are axes; a number of more than 64 bits.
    """
    try:
        if isinstance(value, (tuple, list)):
            result = tuple([operator.index(v) for v in value])
        else:
            result = (operator.index(value),) * axes
    except TypeError:
        raise TypeError(
            f"[{op}] expected {name} as a whole number or {axes} of them, got {value!r}"
        ) from None
    if len(result) != axes:
        raise ValueError(
            f"[{op}] expected {name} as one number or {axes} of them, got {len(result)}: {value!r}"
        )
    if min(result) < -(2**63) or max(result) >= 2**63:
        raise ValueError(f"[{op}] expected {name} between -2^63 and 2^63, got {value!r}")
    return result
