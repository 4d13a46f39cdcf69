"""Readers of the two file formats of the public picture sets: IDX and CIFAR's records.

Files are not trusted: a header is held against the size of the file before anything is allocated,
and nothing is ever unpickled.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .download import replacing

_BLOCK = 1 << 20
# Deflate cannot pack better than 1032 to 1 (a match of 258 bytes in 2 bits), so a compressed file
# that claims to hold more is lying.
DEFLATE_LIMIT = 1032

_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path) -> NDArray:
    """Read an IDX file, plain or gzipped: the format of MNIST (Y. LeCun, C. Cortes, C. Burges).

    Two zero bytes, a type code, the number of axes, the sizes as big-endian 32-bit numbers, and
    the values in row-major order.

    Returns:
        The array, in the machine's byte order.

    Raises:
        ValueError: no IDX file, truncated, longer than its header says, or a header that the file
            cannot be true to.
    """
    import gzip  # here and below: not everybody who imports ranvier.data reads files

    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        available = path.stat().st_size
        if not packed:
            return _read_idx(path, file, available, exact=True)
        try:
            with gzip.GzipFile(fileobj=file) as stream:
                return _read_idx(path, stream, available * DEFLATE_LIMIT, exact=False)  # type: ignore[arg-type]
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(
                f"[idx] expected a complete gzip file, got {path}: {error} - fetch it again"
            ) from error


def _read_idx(path: Path, stream: BinaryIO, available: int, exact: bool) -> NDArray:
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX_TYPES or head[3] == 0:
        raise ValueError(
            f"[idx] expected an IDX header (00 00 type axes), got {head.hex(' ')!r} in {path}"
        )
    dtype = np.dtype(_IDX_TYPES[head[2]])
    sizes = stream.read(4 * head[3])
    if len(sizes) < 4 * head[3]:
        raise ValueError(f"[idx] expected the sizes of {head[3]} axes, {path} ends within them")
    shape = struct.unpack(f">{head[3]}I", sizes)
    length = math.prod(shape) * dtype.itemsize  # Python integers: cannot overflow
    available -= 4 + len(sizes)
    if length > available or (exact and length != available):
        raise ValueError(
            f"[idx] expected {length:,} bytes for the shape {shape} that the header claims, "
            f"{path} {'has' if exact else 'cannot hold more than'} {available:,}"
        )
    # Block by block: memory grows with what is really there, whatever the header claims.
    data = bytearray()
    while len(data) <= length and (block := stream.read(min(_BLOCK, length + 1 - len(data)))):
        data += block
    if len(data) != length:
        raise ValueError(
            f"[idx] expected {length:,} bytes for the shape {shape} that the header claims, "
            f"{path} has {'more' if len(data) > length else f'{len(data):,}'}"
        )
    values = np.frombuffer(data, dtype).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)


def read_cifar(path: Path, label_bytes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read a file of CIFAR's binary version (A. Krizhevsky, 2009).

    Records of `label_bytes` labels (CIFAR-10: the class; CIFAR-100: coarse, then fine) and
    3 * 32 * 32 bytes of pixels, one colour plane after the other.

    Returns:
        Pictures of shape (N, 3, 32, 32) and labels of shape (N, label_bytes).

    Raises:
        ValueError: the size is no multiple of a record, or zero.
    """
    record = label_bytes + 3 * 32 * 32
    size = path.stat().st_size
    if size == 0 or size % record:
        raise ValueError(
            f"[cifar] expected records of {record:,} bytes, got {path} of {size:,} bytes - "
            "incomplete, or not the binary version"
        )
    records = np.fromfile(path, np.uint8).reshape(-1, record)
    return records[:, label_bytes:].reshape(-1, 3, 32, 32), records[:, :label_bytes]


def unpack(archive: Path, folder: Path, wanted: Mapping[str, int]) -> None:
    """Take known files out of a .tar.gz; no path of the archive is ever used.

    Args:
        archive: the file.
        folder: where they go, flat, under the wanted names.
        wanted: file name -> its size in bytes at most.

    Raises:
        ValueError: damaged, not all of them in it, or one of them is larger than it should be.
    """
    import tarfile
    from gzip import BadGzipFile

    folder.mkdir(parents=True, exist_ok=True)
    missing = set(wanted)
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                name = PurePosixPath(member.name).name
                if name not in missing or not member.isreg():
                    continue
                if member.size > wanted[name]:
                    raise ValueError(
                        f"[cifar] expected {name} of at most {wanted[name]:,} bytes, got "
                        f"{member.size:,} in {archive}"
                    )
                source = tar.extractfile(member)
                assert source is not None  # a regular file
                with replacing(folder / name) as part:
                    left = member.size
                    while left and (block := source.read(min(_BLOCK, left))):
                        part.write(block)
                        left -= len(block)
                    if left:
                        raise ValueError(f"[cifar] expected all of {name}, {archive} ends in it")
                missing.discard(name)
                if not missing:
                    return
    except (tarfile.TarError, EOFError, zlib.error, BadGzipFile) as error:
        raise ValueError(
            f"[cifar] expected a complete .tar.gz, got {archive}: {error} - fetch it again"
        ) from error
    raise ValueError(f"[cifar] expected {', '.join(sorted(missing))} in {archive}, not in it")
