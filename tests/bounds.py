"""How large the errors of an op may be: the bounds that ``tests/harness.py`` explains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tests.harness import Case

EPS64 = np.finfo(np.float64).eps


def as_tuple(result: Any) -> tuple[Any, ...]:
    """One result or several, as a tuple."""
    return tuple(result) if isinstance(result, tuple | list) else (result,)


def wide(array: Any) -> Any:
    """Floating-point arrays in float64; everything else as it is."""
    is_float = isinstance(array, np.ndarray) and array.dtype.kind == "f"
    return array.astype(np.float64) if is_float else array


def backward_of(
    case: Case,
    backward: Callable[..., Any] | None,
    arrays: Sequence[Any],
    grads: Sequence[np.ndarray | None],
) -> list[np.ndarray]:
    assert backward is not None, f"{case}: the reference has no backward"
    given = [wide(g) for g in grads if g is not None]
    results = as_tuple(backward(given[0] if len(given) == 1 else given, *arrays, **case.options))
    return [np.asarray(results[i]) for i in case.differentiable()]


def _eps(dtype: str) -> float:
    """Spacing of the numbers at 1; float64 is held against a reference with errors of its own."""
    if not dtype.startswith("float"):
        return 0.0
    return float(np.finfo(dtype).eps) + (EPS64 if dtype == "float64" else 0.0)


def _absolute(array: Any) -> Any:
    return np.abs(array) if isinstance(array, np.ndarray) and array.dtype.kind == "f" else array


def _ones(array: Any) -> Any:
    is_float = isinstance(array, np.ndarray) and array.dtype.kind == "f"
    return np.ones_like(array) if is_float else array


def value_bounds(
    case: Case, arrays: Sequence[Any], expected: Sequence[np.ndarray], dtype: str
) -> list[np.ndarray]:
    """The largest error that each output may have."""
    given = [wide(a) for a in arrays]
    n: Any = case.n or 1
    if case.magnitude:
        sizes = as_tuple(case.magnitude(*given, **case.options))
    elif case.multilinear:
        sizes = as_tuple(case.reference(*map(_absolute, given), **case.options))
        if case.n is None:
            n = np.max(case.reference(*map(_ones, given), **case.options), initial=1)
    elif n == 1:
        sizes = tuple(np.abs(y) for y in expected)
    else:
        sizes = tuple(np.max(np.abs(y), initial=0.0) for y in expected)
    return [case.k * n * _eps(dtype) * np.asarray(size) for size in sizes]


def gradient_bounds(
    case: Case,
    arrays: Sequence[Any],
    grads: Sequence[np.ndarray | None],
    expected: Sequence[np.ndarray],
    dtype: str,
) -> list[np.ndarray]:
    """The largest error that each element of each gradient may have."""
    given = [wide(a) for a in arrays]
    n: Any = case.grad_n or case.n or 1
    if case.grad_magnitude:
        sizes = backward_of(case, case.grad_magnitude, given, grads)
    elif case.multilinear:
        sizes = backward_of(case, case.backward, [*map(_absolute, given)], [*map(_absolute, grads)])
        if case.grad_n is None:
            ones = backward_of(case, case.backward, [*map(_ones, given)], [*map(_ones, grads)])
            n = max(np.max(one, initial=1) for one in ones)
    else:
        sizes = [np.max(np.abs(e), initial=0.0) * np.ones_like(e) for e in expected]
    return [case.k * n * _eps(dtype) * np.asarray(size) for size in sizes]


def assert_close(actual: np.ndarray, expected: np.ndarray, bound: Any, what: str) -> None:
    """Every element within its bound; NaN and infinity exactly where the reference has them."""
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, not {expected.shape}"
    if expected.dtype.kind != "f":
        wrong = actual != expected
        error, bound = wrong.astype(float), np.zeros(expected.shape)
    else:
        a, e = actual.astype(np.float64), expected
        same = (a == e) | (np.isnan(a) & np.isnan(e))
        with np.errstate(invalid="ignore"):
            error = np.where(same, 0.0, np.abs(a - e))
        bound = np.broadcast_to(bound, expected.shape)
        wrong = ~(same | (error <= bound))
    if not wrong.any():
        return
    where = np.unravel_index(np.argmax(np.where(wrong, error, -1.0)), wrong.shape)
    place = tuple(int(i) for i in where)
    raise AssertionError(
        f"{what}: {wrong.sum()} of {wrong.size} elements are off; the worst, {place}, "
        f"is {actual[where]!r}, expected {expected[where]!r} within {bound[where]:.3g}"
    )
