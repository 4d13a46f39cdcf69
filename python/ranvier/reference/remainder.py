"""Division to whole numbers, and what it leaves.

    floor_divide(a, b) = floor(a / b)        remainder(a, b) = a - b floor(a / b)
    trunc_divide(a, b) = trunc(a / b)        fmod(a, b) = a - b trunc(a / b)

Quotients are constant between their steps, and remainders have slope 1 by a and minus the quotient
by b.

Source: Boute, "The Euclidean definition of the functions div and mod", ACM TOPLAS 14 (1992).
"""

from collections.abc import Callable

import numpy as np

from .binary import unbroadcast


def _trunc_divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """C's division: the quotient of ``a - fmod(a, b)``, which b divides but for its rounding."""
    multiple = a - np.fmod(a, b)
    if multiple.dtype.kind == "f":
        return np.round(multiple / b)
    return np.floor_divide(multiple, b)


FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "floor_divide": np.floor_divide,
    "remainder": np.remainder,
    "trunc_divide": _trunc_divide,
    "fmod": np.fmod,
}


def remainder(a: np.ndarray, b: np.ndarray, *, name: str) -> np.ndarray:
    """The function of that name, elementwise with broadcasting."""
    return FUNCTIONS[name](a, b)


def remainder_backward(
    grad: np.ndarray, a: np.ndarray, b: np.ndarray, *, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of a and b."""
    if name in ("floor_divide", "trunc_divide"):
        return np.zeros(np.shape(a)), np.zeros(np.shape(b))
    quotient = np.floor_divide(a, b) if name == "remainder" else _trunc_divide(a, b)
    return unbroadcast(grad, np.shape(a)), unbroadcast(-grad * quotient, np.shape(b))
