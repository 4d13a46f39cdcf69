"""Cutting a dataset into parts: stratified, exact in size, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .counter import hash64, permutation
from .dataset import Dataset


class Splits(NamedTuple):
    """The three parts of a dataset.

    `train` is learned from, `validation` decides (when to stop, which settings), `test` is read
    once at the end.
    """

    train: Dataset
    validation: Dataset
    test: Dataset


def _resolve_sizes(sizes: Sequence[int | float], n: int) -> list[int]:
    """Part sizes as counts; fractions are of n, and fractions that sum to 1 leave nothing over."""
    if not sizes:
        raise ValueError("[split] expected at least one size, got none")
    if any(size < 0 for size in sizes):
        raise ValueError(f"[split] expected sizes of at least 0, got {tuple(sizes)}")
    if all(isinstance(size, int | np.integer) for size in sizes):
        counts = [int(size) for size in sizes]
    else:
        if any(size > 1 for size in sizes):
            raise ValueError(
                f"[split] expected all sizes as counts or all as fractions, got {tuple(sizes)}"
            )
        edges = np.round(np.cumsum(sizes) * n).astype(int)
        counts = np.diff(edges, prepend=0).tolist()
    if sum(counts) > n:
        raise ValueError(
            f"[split] expected sizes of at most {n} in all (the number of samples), "
            f"got {tuple(sizes)}, {sum(counts)} in all"
        )
    return counts


def _quota(left: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Share `size` among the classes in proportion to what is left of them (largest remainder)."""
    total = int(left.sum())
    if total == 0:
        return np.zeros_like(left)
    share, remainder = np.divmod(left * size, total)  # integers: no rounding to argue about
    missing = size - int(share.sum())
    share[np.argsort(-remainder, kind="stable")[:missing]] += 1
    return share


def stratified_split(
    labels: ArrayLike, sizes: Sequence[int | float], seed: int = 0
) -> tuple[NDArray[np.int64], ...]:
    """Draw disjoint parts in which every class is as frequent as in the whole.

    Parts are drawn one after the other; each takes its share of what is left of every class,
    rounded by largest remainder, so the sizes are exact and no class is off by more than one from
    its share of what was left. Which samples are taken depends on (seed, position) only.

    Args:
        labels: class of each sample, shape (N,), integers or strings.
        sizes: how many samples each part gets; all counts, or all fractions of N. What they do not
            use up is left out.
        seed: selects the draw.

    Returns:
        For each size the indices of its part, ascending.

    Raises:
        ValueError: labels are not a vector, or the sizes are negative, mixed or too large.

    Example:
        >>> import numpy as np
        >>> train, test = stratified_split(np.array([0, 0, 0, 0, 1, 1]), (4, 2))
        >>> len(train), len(test)
        (4, 2)
    """
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(
            f"[stratified_split] expected labels of shape (N,), got shape {labels.shape}"
            " - for unlabelled or regression data use stratify=False"
        )
    counts = _resolve_sizes(sizes, len(labels))
    classes, codes = np.unique(labels, return_inverse=True)
    keys = hash64(seed, np.arange(len(labels)))
    queues = []
    for c in range(len(classes)):
        members = np.flatnonzero(codes == c)
        queues.append(members[np.argsort(keys[members], kind="stable")])
    left = np.array([len(q) for q in queues], np.int64)
    taken = np.zeros(len(classes), np.int64)
    parts = []
    for size in counts:
        share = _quota(left, size)
        pieces = [q[t : t + s] for q, t, s in zip(queues, taken, share, strict=True)]
        taken, left = taken + share, left - share
        parts.append(np.sort(np.concatenate([np.zeros(0, np.int64), *pieces])))
    return tuple(parts)


def train_validation_test_split(
    dataset: Dataset,
    validation: int | float = 0.1,
    test: int | float = 0.1,
    seed: int = 0,
    stratify: bool = True,
) -> Splits:
    """Cut a dataset into training, validation and test part.

    Args:
        dataset: what is cut; with `stratify`, a dataset whose targets `y` are class labels (N,).
        validation: count, or fraction of the samples.
        test: likewise.
        seed: selects the draw.
        stratify: keep the class frequencies in every part; False for regression.

    Returns:
        Splits(train, validation, test), disjoint, together the whole dataset.

    Raises:
        ValueError: the sizes do not fit, or there are no labels to stratify by.

    Example:
        >>> from ranvier.data import digits
        >>> parts = train_validation_test_split(digits("all"), validation=240, test=360)
        >>> [len(part) for part in parts]
        [1197, 240, 360]
    """
    n = len(dataset)
    validation_count, test_count = (_resolve_sizes((size,), n)[0] for size in (validation, test))
    train_count = n - validation_count - test_count
    if train_count < 0:
        raise ValueError(
            f"[split] expected validation and test within {n} samples, got {validation} and {test}"
        )
    sizes = (train_count, validation_count, test_count)
    if stratify:
        labels = getattr(dataset, "y", None)
        if labels is None:
            raise ValueError(
                "[split] expected a dataset with labels `y` to stratify by, got "
                f"{type(dataset).__name__} - pass stratify=False"
            )
        parts = stratified_split(labels, sizes, seed)
    else:
        order = permutation(n, seed)
        edges = np.cumsum(sizes)
        parts = tuple(np.sort(order[b - size : b]) for b, size in zip(edges, sizes, strict=True))
    return Splits(*(dataset.subset(part) for part in parts))
