"""Copies with conversion between dtypes: dst[...] = src[...].

Real numbers lose their fraction on the way to whole ones (towards zero), everything but zero is
true, and a floating-point number too precise for its new type goes to the nearest one, of two
equally near to the even one (IEEE 754, 4.3.1).
"""

import numpy as np


def to(x: np.ndarray, dtype: str) -> np.ndarray:
    """The numbers of ``x`` in another dtype, in the NumPy type that holds them.

    Args:
        x: any shape.
        dtype: its name; "bfloat16" numbers come back in float32.

    Returns:
        The converted numbers, in the shape of ``x``.
    """
    return to_bfloat16(x.astype(np.float32)) if dtype == "bfloat16" else x.astype(dtype)


def to_backward(grad: np.ndarray, x: np.ndarray, dtype: str) -> np.ndarray:
    """A conversion between floating-point types has the derivative 1."""
    return grad.astype(x.dtype)


def to_bfloat16(x: np.ndarray) -> np.ndarray:
    """Float32 numbers rounded to the upper 16 of their 32 bits.

    Half of the last kept bit is added before the cut, a little less where that bit is even, so that
    ties go to the even neighbour. NaN stays NaN.

    Example:
        >>> to_bfloat16(np.array([1.00390625, 1.01171875], np.float32)).tolist()
        [1.0, 1.015625]
    """
    bits = x.view(np.uint32)
    even = (bits >> 16) & 1
    rounded = (bits + (0x7FFF + even).astype(np.uint32)) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(x), x, rounded.view(np.float32))
