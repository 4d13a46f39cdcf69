"""Data: the embedded digits, public picture sets, your own files, batches and transforms.

>>> from ranvier.data import DataLoader, digits, transforms
>>> augment = transforms.RandomAffine(degrees=10, translate=0.1)
>>> loader = DataLoader(digits("train", size=32), batch_size=64, shuffle=True, transform=augment)
>>> len(loader)
19
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import transforms
from .catalog import cifar10, cifar100, fashion_mnist, mnist
from .counter import SampleRandom
from .dataset import ArrayDataset, Dataset, Subset
from .download import Root, cache_folder
from .embedded import digits
from .loader import DataLoader
from .splits import Splits, stratified_split, train_validation_test_split

__all__ = [
    "ArrayDataset",
    "DataLoader",
    "Dataset",
    "SampleRandom",
    "Splits",
    "Subset",
    "available",
    "cache_folder",
    "cifar10",
    "cifar100",
    "digits",
    "fashion_mnist",
    "load",
    "mnist",
    "stratified_split",
    "train_validation_test_split",
    "transforms",
]

_NAMED: dict[str, Callable[..., ArrayDataset]] = {
    "digits": digits,
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
}


def available() -> tuple[str, ...]:
    """Names that `load` knows."""
    return tuple(_NAMED)


def load(
    source: str | os.PathLike[str],
    size: int | tuple[int, int] | None = None,
    root: Root = None,
    download: bool = True,
    channels: int | None = None,
    seed: int = 0,
) -> Splits:
    """Load a dataset by name or path, in three parts: what ``--data`` means.

    MNIST, Fashion-MNIST and CIFAR are published in two parts; a tenth of the training part, 5,000
    samples at most, becomes the validation part. For folders and .npz files see
    `ranvier.data.folder.load_path`.

    Args:
        source: one of `available`, a folder of class folders with pictures, or an .npz file.
        size: height and width that pictures are scaled to.
        root: folder to look for a named set first.
        download: fetch a named set that is not on this machine.
        channels: 1 or 3, for folders of pictures.
        seed: selects the validation part where there is none.

    Returns:
        Splits(train, validation, test).

    Raises:
        ValueError: unknown name, or files that are damaged or not what they should be.
        FileNotFoundError: no such file, or a set that can be neither found nor fetched.

    Example:
        >>> [len(part) for part in load("digits")]
        [1197, 240, 360]
    """
    name = os.fspath(source)
    if not name:  # as a path it would be the current folder
        raise ValueError("[data] expected a dataset name, a folder or a file, got an empty text")
    plain = name.lower().replace("-", "").replace("_", "").replace(" ", "")
    for known in _NAMED:
        if plain == known.replace("_", ""):
            return _load_named(known, size, root, download, seed)
    path = Path(source).expanduser()
    if path.exists():
        from .folder import load_path

        return load_path(path, size, channels, seed)
    if path.suffix or len(path.parts) > 1:
        raise FileNotFoundError(f"[data] expected a dataset name, a folder or a file, no {path}")
    close = difflib.get_close_matches(name.lower(), available(), n=1)
    raise ValueError(
        f"[data] expected one of {', '.join(available())}, or a folder or .npz file, got {name!r}"
        + (f" - did you mean {close[0]!r}?" if close else "")
    )


def _load_named(
    name: str, size: int | tuple[int, int] | None, root: Root, download: bool, seed: int
) -> Splits:
    if name == "digits":
        return Splits(*(digits(part, size) for part in Splits._fields))
    train = _NAMED[name]("train", root=root, download=download, size=size)
    test = _NAMED[name]("test", root=root, download=download, size=size)
    count = min(5_000, len(train) // 10)
    parts = train_validation_test_split(train, validation=count, test=0, seed=seed)
    return Splits(parts.train, parts.validation, test)


if not TYPE_CHECKING:  # mypy shall go on refusing names that are not there

    def __getattr__(name: str) -> Any:
        from ranvier.cures import missing

        raise missing(__name__, name)
