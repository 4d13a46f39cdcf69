"""Datasets: something with a length whose samples can be fetched by index, one or many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .counter import SampleRandom


def stacked(samples: Sequence[Any]) -> tuple[NDArray, NDArray]:
    """Samples (x, y), each kind along a new first axis.

    Raises:
        TypeError: samples that are not pairs.
        ValueError: samples of different shapes.
    """
    for sample in samples:
        if not isinstance(sample, tuple | list) or len(sample) != 2:
            size = f" of {len(sample)}" if isinstance(sample, tuple | list) else ""
            raise TypeError(
                f"[Dataset] expected samples as pairs (x, y), got {type(sample).__name__}{size} - "
                "return a pair from __getitem__, or define batch"
            )
    parts = []
    for values in zip(*samples, strict=True):
        arrays = [np.asarray(value) for value in values]
        shapes = sorted({a.shape for a in arrays})
        if len(shapes) > 1:
            raise ValueError(
                f"[Dataset] expected samples of one shape in a batch, got {shapes[0]} and "
                f"{shapes[1]} - pad or crop them, or define batch"
            )
        parts.append(np.stack(arrays))
    return parts[0], parts[1]


class Dataset:
    """Samples (x, y) by index.

    A subclass gives `__len__` and `__getitem__`; it may give `batch` as well, where fetching many
    samples at once is cheaper than one by one. Any thread of a `DataLoader` may call it.
    """

    classes: tuple[str, ...] | None = None
    """Names of the classes, if the targets are class numbers."""

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} has to define __len__")

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        raise NotImplementedError(f"{type(self).__name__} has to define __getitem__")

    def batch(self, indices: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
        """The samples at `indices`, stacked along a new first axis; arrays of their own."""
        return stacked([self[int(i)] for i in indices])

    def subset(self, indices: ArrayLike) -> Dataset:
        """The samples at `indices` (integers or a boolean mask), in that order."""
        return Subset(self, indices)


def _checked(indices: ArrayLike, n: int) -> NDArray[np.int64]:
    indices = np.asarray(indices)
    if indices.dtype == bool:
        if indices.shape != (n,):
            raise IndexError(f"[subset] expected a mask of {n} samples, got shape {indices.shape}")
        return np.flatnonzero(indices)
    if indices.size == 0:
        return np.zeros(0, np.int64)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise IndexError(
            "[subset] expected a vector of integers or a mask, "
            f"got shape {indices.shape} of {indices.dtype}"
        )
    if indices.min() < -n or indices.max() >= n:
        raise IndexError(
            f"[subset] expected indices in [{-n}, {n}), got {indices.min()} to {indices.max()}"
        )
    return np.where(indices < 0, indices + n, indices).astype(np.int64, copy=False)


class Subset(Dataset):
    """Some samples of a dataset; nothing is copied.

    Args:
        dataset: where they come from.
        indices: integers or a boolean mask.
    """

    def __init__(self, dataset: Dataset, indices: ArrayLike) -> None:
        self.dataset = dataset
        self.indices = _checked(indices, len(dataset))
        self.classes = dataset.classes

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        picked = self.indices[index]
        return self.dataset.batch(picked) if picked.ndim else self.dataset[int(picked)]

    def batch(self, indices: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
        """The samples at `indices` of this subset."""
        return self.dataset.batch(self.indices[indices])


class ArrayDataset(Dataset):
    """Inputs and targets in two arrays with the samples along the first axis.

    Pictures are usually kept as bytes, a quarter of the memory; with ``divisor=255`` they become
    float32 in [0, 1] when they are fetched. Memory-mapped arrays are read as they are needed.

    Args:
        x: inputs, shape (N, ...); pictures are (N, C, H, W).
        y: targets, shape (N, ...); class labels are int64 of shape (N,).
        classes: names of the classes.
        divisor: fetched inputs are float32(x) / divisor; None leaves x as it is.
        name: shown by `repr` and in messages.

    Raises:
        ValueError: x and y differ in length, or x has no first axis.

    Example:
        >>> import numpy as np
        >>> data = ArrayDataset(np.zeros((10, 1, 8, 8), np.uint8), np.arange(10), divisor=255)
        >>> x, y = data[2:5]
        >>> x.shape, str(x.dtype), y.tolist()
        ((3, 1, 8, 8), 'float32', [2, 3, 4])
    """

    def __init__(
        self,
        x: ArrayLike,
        y: ArrayLike,
        classes: Sequence[str] | None = None,
        divisor: float | None = None,
        name: str = "",
    ) -> None:
        self.x, self.y = np.asarray(x), np.asarray(y)
        if self.x.ndim == 0 or self.y.ndim == 0 or len(self.x) != len(self.y):
            raise ValueError(
                "[ArrayDataset] expected as many targets as inputs along the first axis, "
                f"got x {self.x.shape} and y {self.y.shape}"
            )
        if self.x.dtype == object or self.y.dtype == object:
            raise TypeError(
                "[ArrayDataset] expected numbers, got an array of Python objects - rows of unequal "
                "length? pad them first"
            )
        self.classes = None if classes is None else tuple(str(c) for c in classes)
        self.divisor = divisor
        self.name = name

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        named = f"{self.name}: " if self.name else ""
        kinds = f", {len(self.classes)} classes" if self.classes else ""
        return (
            f"ArrayDataset({named}{len(self):,} samples, x {self.x.shape[1:]} {self.x.dtype}, "
            f"y {self.y.shape[1:]} {self.y.dtype}{kinds})"
        )

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch axis."""
        return self.x.shape[1:]

    def _scaled(self, x: NDArray) -> NDArray:
        # A true division, so that 255 becomes exactly 1 and every value is correctly rounded.
        if self.divisor is None:
            return x
        return np.divide(x, np.float32(self.divisor), dtype=np.float32)

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        return self._scaled(self.x[index]), self.y[index]

    def batch(self, indices: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
        """The samples at `indices`, copied: a batch may be changed without harm to the dataset."""
        return self._scaled(self.x[indices]), self.y[indices]

    def arrays(self) -> tuple[NDArray, NDArray]:
        """All inputs, as they come out of `batch`, and all targets."""
        return self._scaled(self.x), self.y

    def subset(self, indices: ArrayLike) -> ArrayDataset:
        """The samples at `indices` (integers or a boolean mask) in arrays of their own."""
        picked = _checked(indices, len(self))
        return ArrayDataset(self.x[picked], self.y[picked], self.classes, self.divisor, self.name)

    def resized(self, size: int | tuple[int, int]) -> ArrayDataset:
        """The pictures scaled once to H x W, bilinear as by `transforms.Resize`.

        Pictures that are kept as bytes stay bytes, rounded to the nearest.

        Args:
            size: height and width, or one number for both.
        """
        from .transforms import Resize

        change = Resize(size)
        if self.divisor is None or self.x.dtype != np.uint8:
            return self.map(change)
        pieces = []
        for first in range(0, len(self), 4096):  # a float copy of a few thousand at a time
            indices = np.arange(first, min(first + 4096, len(self)))
            x = change(self.x[indices].astype(np.float32), SampleRandom(0, 0, indices))
            pieces.append(np.rint(x).astype(np.uint8))
        x = np.concatenate(pieces) if pieces else change(self.arrays()[0], SampleRandom(0, 0, []))
        return ArrayDataset(x, self.y, self.classes, self.divisor, self.name)

    def map(
        self, transform: Callable[[NDArray, SampleRandom], NDArray], seed: int = 0
    ) -> ArrayDataset:
        """Apply a transform once, to everything, instead of to every batch of every epoch.

        Meant for what is the same each time, such as `Resize`; a random transform is frozen at
        its epoch 0.

        Args:
            transform: called as transform(x, random) with x of shape (N, ...).
            seed: for random transforms.

        Example:
            >>> from ranvier.data import digits, transforms
            >>> digits("test").map(transforms.Resize(32)).sample_shape
            (1, 32, 32)
        """
        x = transform(self.arrays()[0], SampleRandom(seed, 0, np.arange(len(self))))
        return ArrayDataset(x, self.y, self.classes, None, self.name)
