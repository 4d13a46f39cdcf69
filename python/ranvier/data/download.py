"""Files of public datasets: where they lie, how they are fetched, how they are checked.

Looked for, in this order: the folder given as ``root``; the folder named by ``RANVIER_DATA``, with
a subfolder for each dataset; the cache, laid out likewise. The cache is ``RANVIER_HOME``, else
``ranvier`` below ``XDG_CACHE_HOME``, else ``~/.cache/ranvier``. What is in none of them is fetched
from the first mirror that delivers it, into ``root`` if given, else into the cache.
``RANVIER_MIRROR`` names a server (or a ``file://`` folder) of your own that is asked first, for
``<mirror>/<dataset>/<file>``.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Root = str | os.PathLike[str] | None

logger = logging.getLogger("ranvier")

_TIMEOUT = 30.0  # seconds without a byte
_BLOCK = 1 << 18


@dataclass(frozen=True)
class RemoteFile:
    """A file of a dataset as it is published.

    Args:
        name: file name, the same on every mirror.
        size: bytes.
        sha256: only a hash on which two independent public sources agree is written down. None
            means that there are no two; then size, header and contents are what is checked.
    """

    name: str
    size: int
    sha256: str | None


def cache_folder() -> Path:
    """Where fetched files are kept."""
    if home := os.environ.get("RANVIER_HOME"):
        return Path(home).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG rule: a relative path there is to be ignored.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "ranvier"


def _bases(root: Root) -> list[Path]:
    bases = [] if root is None else [Path(root).expanduser()]
    if offline := os.environ.get("RANVIER_DATA"):
        bases.append(Path(offline).expanduser())
    return [*bases, cache_folder()]


def search_folders(subfolders: Sequence[str], root: Root) -> list[Path]:
    """Folders that may hold a dataset's files, best first.

    Each base is searched in its subfolders; only `root`, which somebody gave for this very
    dataset, also by itself: MNIST and Fashion-MNIST use the same file names, and a folder of many
    datasets would serve one for the other.
    """
    folders = [base / subfolder for base in _bases(root) for subfolder in subfolders]
    if root is not None:
        folders.insert(len(subfolders), Path(root).expanduser())
    return folders


def find(folders: Sequence[Path], names: Sequence[str]) -> Path | None:
    """The first file that exists, by folder, then by name."""
    for folder in folders:
        for name in names:
            if (path := folder / name).is_file():
                return path
    return None


def fetch(
    dataset: str,
    file: RemoteFile,
    mirrors: Sequence[str],
    root: Root,
) -> Path:
    """Fetch a file from the first mirror that delivers it unharmed.

    The file appears under its name only when it is complete and checked: it is written beside it
    and renamed, so neither a broken connection nor a second process leaves half a file.

    Args:
        dataset: name for messages and for the path on ``RANVIER_MIRROR``.
        file: what to fetch.
        mirrors: addresses that end in a slash.
        root: the subfolder `dataset` of this folder receives the file, else that of the cache.

    Raises:
        FileNotFoundError: no mirror delivered it, or there is no folder to put it into. The message
            says what was tried and where to put the file by hand.
    """
    from http.client import HTTPException

    folder = (cache_folder() if root is None else Path(root).expanduser()) / dataset
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    except OSError as error:
        raise FileNotFoundError(
            missing_message(dataset, file.name, root, fetched=False)
            + f"; nothing can be written to {folder}: {error.strerror}"
        ) from None
    addresses = [mirror + file.name for mirror in mirrors]
    if own := os.environ.get("RANVIER_MIRROR"):
        addresses.insert(0, f"{own.rstrip('/')}/{dataset}/{file.name}")
    failures = []
    for address in addresses:
        try:
            return _fetch_one(address, file, folder)
        except (OSError, ValueError, HTTPException) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                text = f"{error.strerror}: {file.name} of {file.size / 1e6:.0f} MB"
                raise OSError(error.errno, text, str(folder)) from None
            failures.append(f"{address} ({getattr(error, 'reason', error)})")
            logger.info("[%s] %s failed: %s", dataset, address, error)
    raise FileNotFoundError(
        missing_message(dataset, file.name, root) + f"; tried {'; '.join(failures)}"
    )


def missing_message(dataset: str, name: str, root: Root, fetched: bool = True) -> str:
    """One line on a file that is not there: where it was looked for and the cures.

    `fetched` says whether it could be kept if it came over the network.
    """
    folders = ", ".join(str(base / dataset) for base in _bases(root))
    cure = f"connect to the network, or put the file into {cache_folder() / dataset} by hand"
    if not fetched:
        what = "RANVIER_HOME" if root is None else "root="
        cure = f"name a folder that can be written by {what}"
    return (
        f"[{dataset}] expected the file {name}, found in none of {folders} - {cure}, or set "
        f"RANVIER_DATA to a folder that holds {dataset}/{name}"
    )


def _fetch_one(address: str, file: RemoteFile, folder: Path) -> Path:
    import hashlib
    from urllib.request import Request, urlopen

    digest = hashlib.sha256()
    received = 0
    request = Request(address, headers={"User-Agent": "ranvier"})
    with (
        urlopen(request, timeout=_TIMEOUT) as answer,
        replacing(folder / file.name) as part,
        _progress(file) as progress,
    ):
        while block := answer.read(_BLOCK):
            received += len(block)
            if received > file.size:
                raise ValueError(f"more than the expected {file.size:,} bytes")
            digest.update(block)
            part.write(block)
            progress(len(block))
        if received != file.size:
            raise ValueError(f"{received:,} bytes instead of {file.size:,}")
        if file.sha256 is not None and digest.hexdigest() != file.sha256:
            raise ValueError(f"SHA-256 {digest.hexdigest()} instead of {file.sha256}")
    return folder / file.name


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Any]:
    """Write a file that appears at `path` only if the block ends without an error."""
    import tempfile

    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as part:
            yield part
        os.chmod(name, 0o644)  # mkstemp makes it private; a cache may be shared
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


@contextlib.contextmanager
def _progress(file: RemoteFile) -> Iterator[Any]:
    """A bar on a terminal if tqdm is installed; otherwise one line in the log."""
    try:
        from tqdm import tqdm
    except ImportError:
        logger.info("fetching %s (%.1f MB)", file.name, file.size / 1e6)
        yield lambda count: None
        return
    # disable=None: no bar where the output is not a terminal.
    with tqdm(
        total=file.size, unit="B", unit_scale=True, desc=file.name, disable=None, leave=False
    ) as bar:
        yield bar.update
