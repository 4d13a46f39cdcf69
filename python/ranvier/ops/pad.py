"""Tensors made larger, or smaller, at their ends.

Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), section
2; the four ways to continue a signal beyond its end are those of digital filters (Strang and
Nguyen, Wavelets and Filter Banks (1996), section 8.2).
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

from ranvier.ops._arguments import real
from ranvier.ops._pad import check_sides, padded
from ranvier.tensor import Tensor, attach


@attach("pad")
def pad(x: Tensor, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Adds places before and after the samples of the last axes.

    What they hold, for the samples ``a b c d`` and three more on each side:

    ==============  =================
    "constant"      value
    "reflect"       ``d c b | a b c d | c b a``
    "replicate"     ``a a a | a b c d | d d d``
    "symmetric"     ``c b a | a b c d | d c b``
    "circular"      ``b c d | a b c d | a b c``
    ==============  =================

    Args:
        x: any shape and dtype.
        pad: (before, after) of the last axis, then of the one before it, and so on, as in PyTorch:
            (left, right, top, bottom). Numbers below zero cut.
        mode: see above. Reflection reaches at most size - 1, symmetric and circular at most size.
        value: of the mode "constant".

    Returns:
        x with the larger axes. Each sample's gradient is the sum over the places that hold it.

    Raises:
        ValueError: an odd number of sides, more than axes, an unknown mode, or sides that the mode
            cannot fill.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.pad(rv.tensor([1.0, 2.0, 3.0]), (1, 2), "reflect").tolist()
        [2.0, 1.0, 2.0, 3.0, 2.0, 1.0]
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"[pad] expected a tensor, got {type(x).__name__} - wrap it in rv.tensor")
    try:
        if isinstance(pad, set | dict | frozenset):
            raise TypeError  # they have no order
        flat = [operator.index(p) for p in pad]
    except TypeError:
        raise TypeError(f"[pad] expected pad as whole numbers, got {pad!r}") from None
    if len(flat) % 2 or len(flat) > 2 * x.ndim:
        raise ValueError(
            f"[pad] expected (before, after) for some of the last axes of shape {x.shape}, got "
            f"{len(flat)} numbers: {tuple(flat)}"
        )
    last = [(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)]
    sides = (*[(0, 0)] * (x.ndim - len(last)), *reversed(last))
    check_sides("pad", x.shape, sides, mode)
    return padded(x, sides, mode, real("value", value))
