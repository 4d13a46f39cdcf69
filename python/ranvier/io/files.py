"""Files that are either wholly there or not there at all."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a binary file that appears under its name only once it is complete.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and the file is
    then renamed over `path` in one step. A reader therefore sees the old file or the new one, and
    a process killed half-way leaves the old one. On an exception the temporary file is removed.

    Args:
        path: the file to write; its folder must exist.

    Yields:
        The open temporary file.

    Raises:
        OSError: it cannot be written; the error names `path`, not the temporary file.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_write(folder / "greeting.txt") as file:
        ...     _ = file.write(b"hello")
        >>> (folder / "greeting.txt").read_bytes()
        b'hello'
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    try:
        # The ordinary mode, so that the umask decides who may read, as it does for open().
        with os.fdopen(os.open(temporary, flags, 0o666), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror, str(path)) from None  # the name they know
        raise
    _sync_folder(path.parent)


def remove_remains(path: str | os.PathLike[str]) -> None:
    """Delete what writers of `path` that were killed have left beside it (see `atomic_write`).

    For whoever owns the file: a writer that is still at it would lose its work.
    """
    path = Path(path)
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text atomically (see `atomic_write`)."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8"))


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
