"""Reader and writer of the safetensors format: named arrays in one file, and no code in it.

A file is: 8 bytes, the length n of the header (unsigned, little-endian); n bytes of UTF-8 JSON,
`{"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}` with an optional
entry `"__metadata__"` of texts, padded with spaces; then the data, little-endian, C order, without
holes, offsets counted from the end of the header.

Nothing in a file is trusted: every number is checked against the size of the file before a byte
is allocated, so that a hostile file costs an error message and nothing else.

Source: https://huggingface.co/docs/safetensors, section "Format".
"""

from __future__ import annotations

import json
import math
import mmap
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from .files import atomic_write

METADATA = "__metadata__"
MAX_HEADER = 100_000_000  # bytes; the limit of the format's own reader
MAX_DIMS = 32

# Name in the file -> (NumPy type that holds the bits, name of our dtype).
_DTYPES: dict[str, tuple[str, str]] = {
    "F64": ("<f8", "float64"),
    "F32": ("<f4", "float32"),
    "F16": ("<f2", "float16"),
    "BF16": ("<u2", "bfloat16"),
    "I64": ("<i8", "int64"),
    "I32": ("<i4", "int32"),
    "U8": ("|u1", "uint8"),
    "BOOL": ("|b1", "bool"),
}
_NAMES = {ours: name for name, (_, ours) in _DTYPES.items()}


@dataclass(frozen=True)
class Entry:
    """One tensor of a header: its dtype as the file names it, its shape, its bytes in the data."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a file says about itself; `start` is where its data begin."""

    entries: dict[str, Entry]
    metadata: dict[str, str]
    start: int


class _Bad(Exception):
    """A cause without the file's name, which the caller adds."""


def _fail(path: str | os.PathLike[str], cause: str) -> NoReturn:
    raise ValueError(
        f"[load_file] expected a safetensors file, got {os.fspath(path)!r}: {cause} - "
        "is the file complete, and really a .safetensors file?"
    )


# ---- writing ------------------------------------------------------------------------------------


def save_file(
    tensors: Any,
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named tensors, or the weights of a module, to a safetensors file, atomically.

    The data are ordered by descending item size, so that every tensor is aligned in the file; the
    header keeps the order of `tensors`. The same input gives the same bytes.

    Args:
        tensors: name -> ranvier Tensor or anything that NumPy makes an array of, of dtype
            float64, float32, float16, bfloat16, int64, int32, uint8 or bool; or a Module, whose
            `state_dict` is taken.
        path: the file to write; the folder must exist.
        metadata: texts to store beside the tensors.

    Raises:
        TypeError: a name or a metadata value is no text, a dtype has no place in the format, or
            the tensors have no names.
        ValueError: a name is `"__metadata__"` or is no valid Unicode.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/two.safetensors"
        >>> save_file({"a": np.float32([1, 2]), "b": np.zeros((0, 3))}, path, {"made": "by hand"})
        >>> {name: array.shape for name, array in load_arrays(path).items()}
        {'a': (2,), 'b': (0, 3)}
    """
    if hasattr(tensors, "state_dict"):
        tensors = tensors.state_dict()
    if not isinstance(tensors, Mapping):
        raise TypeError(
            f"[save_file] expected a Module or a dictionary of tensors, got "
            f"{type(tensors).__name__} - give a single tensor a name: {{'x': tensor}}"
        )
    blocks = {name: _bits(name, value) for name, value in tensors.items()}
    order = sorted(blocks, key=lambda name: (-blocks[name][1].itemsize, name))
    offsets: dict[str, tuple[int, int]] = {}
    position = 0
    for name in order:
        offsets[name] = (position, position + blocks[name][1].nbytes)
        position = offsets[name][1]
    header: dict[str, Any] = {}
    if metadata:
        header[METADATA] = _checked_metadata(metadata)
    for name, (dtype, array) in blocks.items():
        header[name] = {
            "dtype": dtype,
            "shape": list(array.shape),
            "data_offsets": list(offsets[name]),
        }
    try:
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"[save_file] expected names and metadata of valid Unicode, got {error.object!r} - "
            "remove the lone surrogate"
        ) from None
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name in order:
            file.write(np.ascontiguousarray(blocks[name][1]).reshape(-1).view(np.uint8).data)


def _checked_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(
                f"[save_file] expected metadata of text -> text, got {key!r}: {value!r} - "
                "turn the value into text, for example with json.dumps"
            )
    return dict(metadata)


def _bits(name: str, value: Any) -> tuple[str, np.ndarray]:
    """The format's dtype name and the little-endian array that holds the value's bits."""
    if not isinstance(name, str):
        raise TypeError(f"[save_file] expected names of type str, got {name!r}")
    if name == METADATA:
        raise ValueError(f"[save_file] {METADATA!r} is reserved by the format - rename the tensor")
    if _is_tensor(value):
        value = value.detach().to("cpu")
        if str(value.dtype).endswith("bfloat16"):
            import ranvier as rv

            # Widening is exact, and the upper half of a float32 is the bfloat16.
            wide = np.asarray(value.to(rv.float32).numpy(), dtype="<f4", order="C")
            return "BF16", np.asarray(wide.view("<u4") >> 16, dtype="<u2")
        value = value.numpy()
    array = np.asarray(value)
    if array.dtype.name not in _NAMES:
        raise TypeError(
            f"[save_file] expected {name!r} of dtype {', '.join(_NAMES)}, got {array.dtype} - "
            "convert it with .astype(...) first"
        )
    dtype = _NAMES[array.dtype.name]
    return dtype, array.astype(_DTYPES[dtype][0], copy=False)


def _is_tensor(value: Any) -> bool:
    """Whether the value is a ranvier Tensor, without importing what nobody has imported."""
    package = sys.modules.get("ranvier")
    kind = getattr(package, "Tensor", None)
    return kind is not None and isinstance(value, kind)


# ---- reading ------------------------------------------------------------------------------------


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read and check the header of a safetensors file, without touching its data.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the file is not a valid safetensors file; the text names file and cause.
    """
    try:
        with open(os.fspath(path), "rb") as file:  # a number would be a descriptor
            return _read_header(file)
    except _Bad as error:
        _fail(path, str(error))


def load_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read a safetensors file into NumPy arrays of their own memory.

    NumPy has no bfloat16: such tensors are widened to float32, which is exact.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the file is not a valid safetensors file; the text names file and cause.
    """
    return {name: array for name, (_, array) in _load(path).items()}


def load_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a safetensors file into ranvier Tensors on the CPU, in the order of its header.

    A module takes them with `load_state_dict`.

    Args:
        path: the file to read.

    Returns:
        Name -> Tensor, of the dtype that the file states.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the file is not a valid safetensors file; the text names file and cause.
    """
    import ranvier as rv

    result = {}
    for name, (dtype, array) in _load(path).items():
        tensor = rv.from_numpy(array)
        result[name] = tensor.to(rv.bfloat16) if dtype == "BF16" else tensor
    return result


def _load(path: str | os.PathLike[str]) -> dict[str, tuple[str, np.ndarray]]:
    try:
        with open(os.fspath(path), "rb") as file:  # a number would be a descriptor
            header = _read_header(file)
            # Mapped, not read: each tensor is copied once, straight from the system's cache.
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return {
                    name: (entry.dtype, _copy(name, entry, data, header.start))
                    for name, entry in header.entries.items()
                }
    except _Bad as error:
        _fail(path, str(error))


def _copy(name: str, entry: Entry, data: mmap.mmap, start: int) -> np.ndarray:
    dtype = np.dtype(_DTYPES[entry.dtype][0])
    native = dtype.newbyteorder("=")
    if entry.begin == entry.end:
        return np.empty(entry.shape, np.float32 if entry.dtype == "BF16" else native)
    raw = np.frombuffer(data, np.uint8, entry.end - entry.begin, start + entry.begin)
    try:
        if entry.dtype == "BOOL" and raw.max() > 1:
            raise _Bad(f"tensor {name!r} is BOOL but has bytes other than 0 and 1")
        if entry.dtype == "BF16":
            wide = np.empty(len(raw) // 2, "<u4")
            np.left_shift(raw.view(dtype), 16, out=wide, casting="unsafe", dtype=np.uint32)
            return wide.view("<f4").astype(np.float32, copy=False).reshape(entry.shape)
        return raw.view(dtype).astype(native, copy=True).reshape(entry.shape)
    finally:
        del raw  # the map cannot be closed while an array looks into it


def _read_header(file: Any) -> Header:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise _Bad("not a regular file")
    size = status.st_size
    if size < 8:
        raise _Bad(f"only {size} bytes, shorter than the 8 of the header's length")
    length = int.from_bytes(file.read(8), "little")
    if length > min(MAX_HEADER, size - 8):
        _refuse_known(length.to_bytes(8, "little") + file.read(80))
    if length > MAX_HEADER:
        raise _Bad(f"the header claims {length:,} bytes, more than the limit of {MAX_HEADER:,}")
    if length > size - 8:
        raise _Bad(f"the header claims {length:,} bytes, but only {size - 8:,} follow")
    content = _parse_json(file.read(length))
    metadata = content.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _Bad(f"{METADATA} is not a map of text to text")
    entries = {name: _entry(name, value) for name, value in content.items()}
    _check_layout(entries, size - 8 - length)
    return Header(entries, metadata, 8 + length)


def _refuse_known(first: bytes) -> None:
    """Says what a file of another format is, by its first bytes, which make no length of a header.

    Short ones alone prove nothing: a header of 640 bytes begins as a pickle does.
    """
    pickle = "a pickle, which is never opened here; load it with the program that wrote it"
    if first.startswith(b"PK\x03\x04") and b".npy" in first:
        raise _Bad("it is an .npz of NumPy: load it with numpy.load")
    if first.startswith((b"PK\x03\x04", b"\x80\x02\x8a")):  # an archive, or its older form
        raise _Bad(
            f"it looks like a file of torch.save, {pickle}, and write it again with "
            "safetensors.torch.save_file"
        )
    if first.startswith(b"\x80") and first[1:2] in b"\2\3\4\5":
        raise _Bad(f"it is {pickle}")
    if first.startswith(b"\x93NUMPY"):
        raise _Bad("it is an .npy of NumPy: load it with numpy.load")
    if first.startswith(b"\x89HDF"):
        raise _Bad(
            "it is a file of HDF5, as Keras writes it: convert it with the safetensors package"
        )


def _parse_json(raw: bytes) -> dict[str, Any]:
    if raw[:1] != b"{":
        raise _Bad("the header is not a JSON object")

    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise _Bad(f"the header has the name {twice!r} twice")
        return result

    def no_constant(text: str) -> NoReturn:
        raise _Bad(f"the header has the value {text}, which JSON does not know")

    try:
        content = json.loads(
            raw.decode("utf-8"), object_pairs_hook=no_duplicates, parse_constant=no_constant
        )
    except UnicodeDecodeError as error:
        raise _Bad(f"the header is not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise _Bad("the header is nested too deeply") from None
    except ValueError as error:
        raise _Bad(f"the header is not valid JSON ({error})") from None
    assert isinstance(content, dict)  # it began with a brace, and json.loads accepted it
    return content


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63  # bool is an int too, but no size


def _entry(name: str, value: Any) -> Entry:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise _Bad(f"tensor {name!r} lacks exactly the fields dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise _Bad(f"tensor {name!r} has dtype {_short(dtype)}, not one of {', '.join(_DTYPES)}")
    if not isinstance(shape, list) or not all(map(_is_size, shape)):
        raise _Bad(f"tensor {name!r} has shape {_short(shape)}, not a list of sizes")
    if len(shape) > MAX_DIMS:
        raise _Bad(f"tensor {name!r} has {len(shape)} dimensions, more than {MAX_DIMS}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_size, offsets)):
        raise _Bad(f"tensor {name!r} has data_offsets {_short(offsets)}, not two sizes")
    begin, end = offsets
    width = np.dtype(_DTYPES[dtype][0]).itemsize
    # NumPy multiplies the dimensions that are not zero even where another one is.
    if math.prod(size for size in shape if size) * width >= 2**63:
        raise _Bad(f"tensor {name!r} has shape {_short(shape)}, whose size overflows 63 bits")
    wanted = math.prod(shape) * width
    if end - begin != wanted:
        raise _Bad(
            f"tensor {name!r} of shape {_short(shape)} and dtype {dtype} takes {wanted:,} bytes, "
            f"but its data_offsets {_short(offsets)} span {end - begin:,}"
        )
    return Entry(dtype, tuple(shape), begin, end)


def _check_layout(entries: Mapping[str, Entry], size: int) -> None:
    """The data must be covered once, without holes, and to the last byte."""
    position = 0
    for name in sorted(entries, key=lambda name: (entries[name].begin, entries[name].end)):
        entry = entries[name]
        if entry.end > size:
            raise _Bad(f"tensor {name!r} ends at byte {entry.end:,} of only {size:,} data bytes")
        if entry.begin != position:
            what = "overlaps the one before it" if entry.begin < position else "follows a hole"
            raise _Bad(f"tensor {name!r} begins at byte {entry.begin:,} and {what} ({position:,})")
        position = entry.end
    if position != size:
        raise _Bad(f"{size - position:,} bytes at the end belong to no tensor")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
