"""Element types and devices, and how their names are read."""

from __future__ import annotations

import os
from typing import Any

import numpy as np


class DType:
    """An element type: ``ranvier.float32`` and its seven siblings.

    Attributes:
        name: "float32", "int64" ...
        code: its number in the compiled core.
        itemsize: bytes per element.
        numpy: the NumPy dtype of the same bits; None for bfloat16, which NumPy lacks.
        is_floating_point: whether gradients can flow through tensors of this type (`floating`).
    """

    __slots__ = ("code", "is_floating_point", "itemsize", "name", "numpy")

    def __init__(self, name: str, code: int, itemsize: int, floating: bool) -> None:
        self.name, self.code, self.itemsize = name, code, itemsize
        self.is_floating_point = floating
        self.numpy = None if name == "bfloat16" else np.dtype(name)

    def __repr__(self) -> str:
        return f"ranvier.{self.name}"

    def __reduce__(self) -> Any:
        return (as_dtype, (self.name,))


float32 = DType("float32", 0, 4, True)
float64 = DType("float64", 1, 8, True)
bfloat16 = DType("bfloat16", 2, 2, True)
float16 = DType("float16", 3, 2, True)
int64 = DType("int64", 4, 8, False)
int32 = DType("int32", 5, 4, False)
uint8 = DType("uint8", 6, 1, False)
bool_ = DType("bool", 7, 1, False)

DTYPES = (float32, float64, bfloat16, float16, int64, int32, uint8, bool_)
_BY_NAME: dict[str, DType] = {t.name: t for t in DTYPES}
_BY_PYTHON: dict[Any, DType] = {float: float32, int: int64, bool: bool_}


def as_dtype(what: Any) -> DType:
    """The DType that ``what`` names: a DType, a string, a NumPy dtype, or float, int, bool.

    Raises:
        TypeError: for a type that ranvier does not have.
    """
    if isinstance(what, DType):
        return what
    try:
        found = _BY_NAME.get(what) if isinstance(what, str) else _BY_PYTHON.get(what)
        if found is None:
            found = _BY_NAME.get(np.dtype(what).name)
    except (TypeError, ValueError):  # not hashable, or nothing that NumPy can read
        found = None
    if found is None:
        text = repr(what)
        raise TypeError(
            f"[dtype] expected one of {', '.join(_BY_NAME)}, got "
            f"{text if len(text) <= 60 else type(what).__name__} - convert the data first"
        )
    return found


class Device:
    """Where a tensor lives: "cpu", "cuda:0", or "meta" (shape and dtype, but no memory)."""

    __slots__ = ("code", "index", "type")
    _KINDS = ("cpu", "cuda", "meta")

    def __init__(self, code: int) -> None:
        self.code = code
        self.type = self._KINDS[code >> 8]
        self.index = code & 255

    def __str__(self) -> str:
        return f"cuda:{self.index}" if self.type == "cuda" else self.type

    def __repr__(self) -> str:
        return f"device({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Device):
            return self.code == other.code
        if isinstance(other, str):
            try:
                return self.code == as_device(other).code
            except (TypeError, ValueError):
                return False
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.code)

    def __reduce__(self) -> Any:
        return (as_device, (str(self),))


def as_device(what: Any = None) -> Device:
    """The Device that ``what`` names; None means the default, ``RANVIER_DEVICE`` or "cpu".

    Raises:
        TypeError: for a name that is no device.
    """
    if isinstance(what, Device):
        return what
    if what is None:
        what = os.environ.get("RANVIER_DEVICE") or "cpu"
    if isinstance(what, str):
        kind, colon, index = what.partition(":")
        if kind == "auto" and not colon:
            return Device(1 << 8 if _cuda() else 0)
        if kind in Device._KINDS and (not colon or (kind == "cuda" and index.isdigit())):
            number = int(index) if index else 0
            if number < 256:
                if kind == "cuda":
                    _cuda()  # opens the library, or notes why it cannot be used
                return Device(Device._KINDS.index(kind) << 8 | number)
    raise TypeError(f"[device] expected 'cpu', 'cuda', 'cuda:0', 'meta' or 'auto', got {what!r}")


def _cuda() -> bool:
    from ranvier import cuda

    return cuda.is_available()
