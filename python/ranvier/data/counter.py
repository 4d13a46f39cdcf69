"""Counter-based random numbers for data: a pure function of (seed, epoch, sample, draw).

A generator with a hidden state hands out numbers in the order in which they are asked for, so the
same picture is augmented differently when threads race, when batches are cut elsewhere or when a
run is resumed in the middle of an epoch. Here a number depends on *what it is for* and on nothing
else. It is the SplitMix64 generator, whose k-th output is ``mix(state + k * golden)`` and can be
computed directly, one stream per sample (G. L. Steele, D. Lea, C. H. Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014). The bits depend neither on NumPy's version nor on
the machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio, odd
_MASK = 0xFFFFFFFFFFFFFFFF
_UNIT = 2.0**-53


def mix64(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit words one to one: the finalizer of SplitMix64.

    Args:
        z: words of any shape; overflow wraps, as intended.
    """
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _words(values: ArrayLike) -> NDArray[np.uint64]:
    """Integers of either sign as 64-bit words, at least one-dimensional.

    NumPy warns about overflow of scalars and wraps arrays silently; wrapping is what we want.
    """
    if isinstance(values, int):
        return np.array([values & _MASK], np.uint64)
    return np.atleast_1d(np.asarray(values)).astype(np.int64).view(np.uint64)


def hash64(*keys: ArrayLike) -> NDArray[np.uint64]:
    """Hash integers, or arrays of integers that broadcast, to 64-bit words.

    The keys are absorbed in order: ``h = mix(h + golden * (key + 1))``. Every key matters, as does
    the order: ``hash64(1, 2)`` and ``hash64(2, 1)`` have nothing in common.

    Args:
        *keys: integers or integer arrays.

    Returns:
        Words of the broadcast shape, at least one-dimensional.

    Example:
        >>> import numpy as np
        >>> bool((hash64(0, 7, np.arange(4))[2] == hash64(0, 7, 2))[0])
        True
    """
    h = np.zeros(1, np.uint64)
    for key in keys:
        h = mix64(h + np.uint64(_GOLDEN) * (_words(key) + np.uint64(1)))
    return h


def permutation(n: int, *keys: int) -> NDArray[np.int64]:
    """A random order of ``range(n)``, chosen by the integer keys (seed, epoch, ...).

    Every index is given a random word and the words are sorted, so an order never changes with
    NumPy's version. Ties (probability below n**2 / 2**65) keep their natural order.

    Args:
        n: how many.
        *keys: integers that select the permutation.
    """
    return np.argsort(hash64(*keys, np.arange(n)), kind="stable").astype(np.int64, copy=False)


class SampleRandom:
    """Random numbers for a batch of samples, one independent stream per sample.

    Two objects made from the same (seed, epoch, index) yield the same numbers for that sample,
    whatever else is in the batch. A transform draws from the object that it is handed; draws
    within one transform are numbered by the order of its calls.

    Args:
        seed: the run's seed.
        epoch: so that each epoch sees other numbers.
        indices: positions of the samples in their dataset, shape (N,).
        stream: one number per place that draws; see `child`.

    Example:
        >>> a = SampleRandom(0, epoch=3, indices=[5, 9]).uniform()
        >>> b = SampleRandom(0, epoch=3, indices=[9]).uniform()
        >>> bool(a[1] == b[0])
        True
    """

    __slots__ = ("_draw", "_state", "epoch", "indices", "seed", "stream")

    def __init__(self, seed: int, epoch: int, indices: ArrayLike, stream: int = 0) -> None:
        self.seed, self.epoch, self.stream = int(seed), int(epoch), int(stream)
        self.indices = np.atleast_1d(np.asarray(indices, np.int64))
        self._state = hash64(self.seed, self.epoch, self.stream, self.indices)
        self._draw = 0

    def __len__(self) -> int:
        return len(self.indices)

    def child(self, number: int) -> SampleRandom:
        """An independent stream of the same samples, for the number-th part of a pipeline."""
        return SampleRandom(
            self.seed, self.epoch, self.indices, int(hash64(self.stream, number + 1)[0]) >> 1
        )

    def restart(self) -> SampleRandom:
        """The same numbers again from the start: to treat a label map as its image was."""
        return SampleRandom(self.seed, self.epoch, self.indices, self.stream)

    def words(self, count: int = 1) -> NDArray[np.uint64]:
        """The next `count` 64-bit words of every sample, shape (N, count)."""
        steps = np.arange(self._draw + 1, self._draw + count + 1).astype(np.uint64)
        self._draw += count
        return mix64(self._state[:, None] + np.uint64(_GOLDEN) * steps)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> NDArray[np.float64]:
        """One number per sample, uniform in [low, high), 53 random bits; shape (N,)."""
        unit = (self.words()[:, 0] >> np.uint64(11)).astype(np.float64) * _UNIT
        return low + (high - low) * unit

    def integers(self, low: int, high: int) -> NDArray[np.int64]:
        """One integer per sample in [low, high), shape (N,).

        The bias is below (high - low) / 2**53.

        Raises:
            ValueError: the range is empty.
        """
        if high <= low:
            raise ValueError(f"[integers] expected low < high, got low={low}, high={high}")
        return low + np.floor(self.uniform(0.0, float(high - low))).astype(np.int64)

    def coin(self, p: float) -> NDArray[np.bool_]:
        """True with probability p, one per sample, shape (N,)."""
        return self.uniform() < p
