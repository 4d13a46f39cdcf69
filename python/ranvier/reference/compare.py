"""Comparisons and logic, element by element with broadcasting; the results are truth values.

They are steps: their derivative is zero wherever it exists, so they have no backward. A comparison
with NaN is false, except that NaN differs from everything, itself included (IEEE 754, 5.11).
"""

from collections.abc import Callable

import numpy as np

COMPARE: dict[str, Callable[..., np.ndarray]] = {
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}

PROPERTIES: dict[str, Callable[..., np.ndarray]] = {
    "isfinite": np.isfinite,
    "isnan": np.isnan,
    "logical_not": np.logical_not,
}


def compare(a: np.ndarray, b: np.ndarray, *, name: str) -> np.ndarray:
    """The truth values of the comparison ``name`` in the broadcast shape of ``a`` and ``b``."""
    return COMPARE[name](a, b)


def holds(x: np.ndarray, *, name: str) -> np.ndarray:
    """The truth values of the property ``name`` of each element."""
    return PROPERTIES[name](x)
