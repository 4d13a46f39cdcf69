"""Random inputs for the cases of ``tests/harness.py``, and the batch axis ``N``.

Numbers are drawn in float64 and rounded to the dtype under test, so that the reference, which gets
the rounded numbers back in float64, computes on exactly what the op was given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


class Batch(int):
    """A size that the batch checks replace by 0 and 1."""


N = Batch(3)


@dataclass(frozen=True)
class Input:
    """An array that a case draws for itself: reproducible numbers in the dtype under test."""

    shape: tuple[int, ...]
    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
    dtype: str | None = None  # None: the dtype under test
    gradient: bool = True

    def numbers(self, seed: int, dtype: str) -> np.ndarray:
        """The array itself."""
        values = self.draw(np.random.default_rng(seed), self.shape)
        return np.array(values, self.dtype or dtype, order="C").reshape(self.shape)

    def with_batch(self, size: int) -> Input:
        """The same input with another batch size."""
        return replace(self, shape=tuple(size if isinstance(d, Batch) else d for d in self.shape))

    def constant(self) -> Input:
        """The same input, of which no gradient is asked."""
        return replace(self, gradient=False)

    def typed(self, dtype: str) -> Input:
        """The same input in a dtype of its own, whatever the dtype under test."""
        return replace(self, dtype=dtype, gradient=self.gradient and dtype.startswith("float"))

    def __repr__(self) -> str:
        return ("x".join(map(str, self.shape)) or "scalar") + (
            f":{self.dtype}" if self.dtype else ""
        )


def normal(*shape: int, mean: float = 0.0, scale: float = 1.0) -> Input:
    """Numbers from a normal distribution."""
    return Input(shape, lambda rng, s: rng.normal(mean, scale, s))


def uniform(low: float, high: float, *shape: int) -> Input:
    """Numbers evenly from [low, high)."""
    return Input(shape, lambda rng, s: rng.uniform(low, high, s))


def nonzero(*shape: int) -> Input:
    """Numbers of both signs that keep a distance of 0.1 from zero."""
    return Input(shape, lambda rng, s: rng.choice([-1.0, 1.0], s) * rng.uniform(0.1, 2.0, s))


def distinct(*shape: int, shift: float = 0.5) -> Input:
    """Different multiples of 1/16, all shifted by a part of it, in random order: no ties.

    Two inputs of different ``shift`` have no element in common either.
    """

    def draw(rng: np.random.Generator, s: tuple[int, ...]) -> np.ndarray:
        size = int(np.prod(s))
        return (rng.permutation(size) - size // 2 + shift).reshape(s) / 16

    return Input(shape, draw)


def integers(low: int, high: int, *shape: int) -> Input:
    """Whole numbers from [low, high), int64."""
    return Input(shape, lambda rng, s: rng.integers(low, high, s), "int64", gradient=False)


def booleans(*shape: int) -> Input:
    """Truth values."""
    return Input(shape, lambda rng, s: rng.random(s) < 0.5, "bool", gradient=False)


def probabilities(*shape: int, dim: int = 1) -> Input:
    """Positive numbers that sum to 1 along ``dim``."""

    def draw(rng: np.random.Generator, s: tuple[int, ...]) -> np.ndarray:
        weights = rng.uniform(0.1, 1.0, s)
        return weights / weights.sum(axis=dim, keepdims=True)

    return Input(shape, draw)


def fixed(values: Any, dtype: str | None = None, gradient: bool = True) -> Input:
    """Exactly these numbers."""
    array = np.asarray(values)
    if dtype is None and array.dtype.kind != "f":
        dtype = str(array.dtype)
    floating = dtype is None or dtype.startswith("float")
    return Input(array.shape, lambda rng, s: array, dtype, gradient=gradient and floating)


# Other physical layouts of the same values.


def _strided(a: np.ndarray) -> np.ndarray:
    wider = np.full((*a.shape[:-1], 2 * a.shape[-1]), np.nan if a.dtype.kind == "f" else 1, a.dtype)
    wider[..., ::2] = a
    return wider[..., ::2]


def _misaligned(a: np.ndarray) -> np.ndarray:
    longer = np.empty(a.size + 1, a.dtype)
    longer[1:] = a.ravel()
    return longer[1:].reshape(a.shape)


def _channels_last(a: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1) if a.ndim == 4 else a


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "transposed": lambda a: np.array(a.T, order="C").T,
    "strided": lambda a: _strided(a) if a.ndim else a,
    "reversed": lambda a: np.flip(np.array(np.flip(a), order="C")) if a.ndim else a,
    "misaligned": _misaligned,
    "channels-last": _channels_last,
}
