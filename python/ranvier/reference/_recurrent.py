"""What the references of recurrent layers share: the walk over the steps."""

from collections.abc import Iterator

import numpy as np


def sigmoid(x: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-x))``, without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def or_zero(array: np.ndarray | None, like: np.ndarray, *shape: int) -> np.ndarray:
    """An optional array: zeros where it is None."""
    return np.zeros(shape, like.dtype) if array is None else array


class Walk:
    """The steps in the order of a layer, and who takes part: sample n has ``lengths[n]`` steps.

    A reversed walk goes from each sample's last step to its first. A sample that does not take part
    keeps its state and puts out zero.
    """

    def __init__(self, x: np.ndarray, lengths: np.ndarray | None, reverse: bool) -> None:
        self.steps, self.rows = x.shape[:2]
        self.lengths = np.full(self.rows, self.steps) if lengths is None else np.asarray(lengths)
        self.reverse = reverse

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        """Time and who takes part (N, 1), first to last."""
        times = reversed(range(self.steps)) if self.reverse else range(self.steps)
        return ((t, (t < self.lengths)[:, None]) for t in times)

    def back(self) -> Iterator[tuple[int, np.ndarray]]:
        """The same, last to first."""
        return reversed(list(self))
