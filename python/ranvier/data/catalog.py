"""The public picture sets by name: MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100.

Every SHA-256 below stands in TensorFlow Datasets' ``url_checksums`` and, independently, in at
least one of torchvision's prototype datasets, torchvision for Ruby, GoMLX and MLDatasets.jl; the
sizes are those of TensorFlow Datasets. Hashes are checked when a file is fetched. Files that
somebody put into place may be repacked, so of those header, size and label range are checked.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import names
from .dataset import ArrayDataset
from .download import (
    RemoteFile,
    Root,
    cache_folder,
    fetch,
    find,
    missing_message,
    search_folders,
)
from .formats import read_cifar, read_idx, unpack

logger = logging.getLogger("ranvier")


@dataclass(frozen=True)
class _IdxSet:
    """One of the sets that share MNIST's four files."""

    name: str
    title: str  # torchvision's folder name, so that its downloads are found
    classes: tuple[str, ...]
    mirrors: tuple[str, ...]
    files: dict[tuple[str, str], RemoteFile]


def _idx_files(entries: dict[str, tuple[int, str]]) -> dict[tuple[str, str], RemoteFile]:
    kinds = (("train", "images"), ("train", "labels"), ("test", "images"), ("test", "labels"))
    return {
        kind: RemoteFile(name, *facts)
        for kind, (name, facts) in zip(kinds, entries.items(), strict=True)
    }


_MNIST = _IdxSet(
    "mnist",
    "MNIST",
    names.DIGITS,
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
    ),
    _idx_files(
        {
            "train-images-idx3-ubyte.gz": (
                9912422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            "train-labels-idx1-ubyte.gz": (
                28881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            "t10k-images-idx3-ubyte.gz": (
                1648877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            "t10k-labels-idx1-ubyte.gz": (
                4542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        }
    ),
)

_FASHION = _IdxSet(
    "fashion_mnist",
    "FashionMNIST",
    names.FASHION,
    (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    _idx_files(
        {
            "train-images-idx3-ubyte.gz": (
                26421880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            "train-labels-idx1-ubyte.gz": (
                29515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
            "t10k-images-idx3-ubyte.gz": (
                4422102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            "t10k-labels-idx1-ubyte.gz": (
                5148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        }
    ),
)


@dataclass(frozen=True)
class _CifarSet:
    """One of the two CIFAR sets, in the binary version: the Python version is a pickle."""

    name: str
    archive: RemoteFile
    folder: str  # inside the archive
    train: tuple[str, ...]
    test: tuple[str, ...]
    label_bytes: int
    file_size: dict[str, int]


_CIFAR_MIRRORS = (
    "https://www.cs.toronto.edu/~kriz/",
    "https://cave.cs.toronto.edu/kriz/",
    "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/",
)

_CIFAR10 = _CifarSet(
    "cifar10",
    RemoteFile(
        "cifar-10-binary.tar.gz",
        170052171,
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ),
    "cifar-10-batches-bin",
    tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    ("test_batch.bin",),
    1,
    dict.fromkeys((*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"), 10_000 * 3073),
)

_CIFAR100 = _CifarSet(
    "cifar100",
    RemoteFile(
        "cifar-100-binary.tar.gz",
        168513733,
        "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    ),
    "cifar-100-binary",
    ("train.bin",),
    ("test.bin",),
    2,
    {"train.bin": 50_000 * 3074, "test.bin": 10_000 * 3074},
)


def _check_split(name: str, split: str) -> None:
    if split not in ("train", "test"):
        raise ValueError(
            f"[{name}] expected split train or test, got {split!r} - load({name!r}) also cuts "
            "off a validation part"
        )


def _finish(
    name: str,
    split: str,
    x: NDArray[np.uint8],
    y: NDArray,
    classes: tuple[str, ...],
    official: int,
    size: int | tuple[int, int] | None,
) -> ArrayDataset:
    if len(y) and int(y.max()) >= len(classes):
        raise ValueError(
            f"[{name}] expected labels below {len(classes)}, got {y.max()} - damaged file?"
        )
    if len(x) != official:
        logger.warning(
            "[%s] %s has %d samples, the published set has %d", name, split, len(x), official
        )
    dataset = ArrayDataset(x, y.astype(np.int64), classes, divisor=255, name=name)
    return dataset if size is None else dataset.resized(size)


def _load_idx(
    kind: _IdxSet, split: str, root: Root, download: bool, size: int | tuple[int, int] | None
) -> ArrayDataset:
    _check_split(kind.name, split)
    folders = search_folders((kind.name, f"{kind.title}/raw"), root)
    arrays = {}
    for what in ("images", "labels"):
        file = kind.files[split, what]
        plain = file.name.removesuffix(".gz")
        # Some collections write "train-images.idx3-ubyte".
        path = find(folders, (file.name, plain, plain.replace("-idx", ".idx")))
        if path is None and download:
            path = fetch(kind.name, file, kind.mirrors, root)
        if path is None:
            raise FileNotFoundError(missing_message(kind.name, file.name, root))
        arrays[what] = read_idx(path)
        axes = (28, 28) if what == "images" else ()
        if arrays[what].dtype != np.uint8 or arrays[what].shape[1:] != axes:
            raise ValueError(
                f"[{kind.name}] expected {what} of bytes with shape {('N', *axes)}, got "
                f"{arrays[what].dtype} {arrays[what].shape} in {path}"
            )
    x, y = arrays["images"], arrays["labels"]
    if len(x) != len(y):
        raise ValueError(
            f"[{kind.name}] expected as many labels as images, got {len(y)} and {len(x)}"
        )
    official = 60_000 if split == "train" else 10_000
    return _finish(kind.name, split, x[:, None], y, kind.classes, official, size)


def _load_cifar(
    kind: _CifarSet,
    split: str,
    root: Root,
    download: bool,
    size: int | tuple[int, int] | None,
    classes: tuple[str, ...],
    label: int,
) -> ArrayDataset:
    _check_split(kind.name, split)
    folders = search_folders((kind.name, f"{kind.name}/{kind.folder}", kind.folder), root)
    wanted = kind.train if split == "train" else kind.test
    paths = [find(folders, (name,)) for name in wanted]
    if None in paths:
        archive = find(folders, (kind.archive.name,))
        if archive is None:
            if not download:
                message = missing_message(kind.name, kind.archive.name, root)
                raise FileNotFoundError(message + "; the Python version, a pickle, is never read")
            archive = fetch(kind.name, kind.archive, _CIFAR_MIRRORS, root)
            target = archive.parent / kind.folder
            unpack(archive, target, kind.file_size)
            archive.unlink()
        else:  # somebody's folder, perhaps not ours to write in
            target = cache_folder() / kind.name / kind.folder
            unpack(archive, target, kind.file_size)
        paths = [target / name for name in wanted]
    pieces = [read_cifar(path, kind.label_bytes) for path in paths if path is not None]
    x = np.concatenate([pictures for pictures, _ in pieces])
    y = np.concatenate([labels[:, label] for _, labels in pieces])
    official = 50_000 if split == "train" else 10_000
    return _finish(kind.name, split, x, y, classes, official, size)


def mnist(
    split: str = "train",
    root: Root = None,
    download: bool = True,
    size: int | tuple[int, int] | None = None,
) -> ArrayDataset:
    """Handwritten digits, 28 x 28 grey (Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, 1998).

    Args:
        split: "train" (60,000) or "test" (10,000).
        root: a folder to look in first, and to fetch into; the files may be gzipped or plain, and
            lie in it, in its subfolder ``mnist``, or as torchvision leaves them.
        download: fetch what is missing.
        size: scaled once to this height and width.

    Returns:
        Pictures (N, 1, 28, 28), kept as bytes, float32 in [0, 1] when fetched; labels int64.

    Raises:
        FileNotFoundError: not on this machine and not to be fetched; the message says where it
            was looked for and where to put it.
        ValueError: damaged files, or no such part.
    """
    return _load_idx(_MNIST, split, root, download, size)


def fashion_mnist(
    split: str = "train",
    root: Root = None,
    download: bool = True,
    size: int | tuple[int, int] | None = None,
) -> ArrayDataset:
    """Clothes in ten classes, 28 x 28 grey (H. Xiao, K. Rasul, R. Vollgraf, arXiv:1708.07747).

    Arguments, result and errors are those of `mnist`.
    """
    return _load_idx(_FASHION, split, root, download, size)


def cifar10(
    split: str = "train",
    root: Root = None,
    download: bool = True,
    size: int | tuple[int, int] | None = None,
) -> ArrayDataset:
    """Colour photographs in ten classes, 32 x 32 (A. Krizhevsky, technical report, 2009).

    Read from the binary version; the Python version is a pickle and is never opened.

    Args:
        split: "train" (50,000) or "test" (10,000).
        root: a folder to look in first, and to fetch into; it may hold the archive
            ``cifar-10-binary.tar.gz`` or the ``.bin`` files.
        download: fetch what is missing (170 MB).
        size: scaled once to this height and width.

    Returns:
        Pictures (N, 3, 32, 32), kept as bytes, float32 in [0, 1] when fetched; labels int64.

    Raises:
        FileNotFoundError: as for `mnist`.
        ValueError: damaged files, or no such part.
    """
    return _load_cifar(_CIFAR10, split, root, download, size, names.CIFAR10, 0)


def cifar100(
    split: str = "train",
    root: Root = None,
    download: bool = True,
    size: int | tuple[int, int] | None = None,
    labels: str = "fine",
) -> ArrayDataset:
    """Colour photographs in 100 classes of 20 groups (A. Krizhevsky, technical report, 2009).

    Arguments, result and errors are those of `cifar10`, and:

    Args:
        split: "train" (50,000) or "test" (10,000).
        root: as for `cifar10`; the archive is ``cifar-100-binary.tar.gz``.
        download: fetch what is missing (169 MB).
        size: scaled once to this height and width.
        labels: "fine" for the 100 classes, "coarse" for the 20 groups.
    """
    if labels not in ("fine", "coarse"):
        raise ValueError(f"[cifar100] expected labels fine or coarse, got {labels!r}")
    fine = labels == "fine"
    classes = names.CIFAR100_FINE if fine else names.CIFAR100_COARSE
    return _load_cifar(_CIFAR100, split, root, download, size, classes, int(fine))
