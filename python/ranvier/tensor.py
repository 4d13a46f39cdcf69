"""The Tensor: an Array, its gradient, and the node of the graph that made it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ranvier import _core
from ranvier.dtypes import DTYPES, Device, DType, as_device, as_dtype, int32, uint8

Array = _core.Array
F = TypeVar("F", bound=Callable[..., Any])


class Clock:
    """Counts in-place changes, so that backward sees when a saved value is no longer itself."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0

    def changed(self, array: Array) -> None:
        """Notes that `array` was written in place."""
        self.now = max(self.now, array.bump())


clock = Clock()


class Count(int):
    """A number of elements; called, the sizes of the axes: `x.size` is NumPy's, `x.size(0)` too."""

    shape: tuple[int, ...]

    def __call__(self, dim: int | None = None) -> Any:
        """All sizes, or that of one axis."""
        if dim is None:
            return self.shape
        n = len(self.shape)
        if not -n <= operator.index(dim) < n:
            raise IndexError(f"[size] expected an axis from {-n} to {n - 1}, got {dim}")
        return self.shape[dim]


class Tensor:
    """A multi-dimensional array of one dtype on one device, with automatic differentiation.

    Attributes:
        data: the compiled Array (buffer, shape, strides); no graph in it.
        grad: the accumulated gradient, a Tensor or None.
        node: the graph node that computed this tensor; None for a leaf.
    """

    __slots__ = ("__weakref__", "_requires_grad", "data", "grad", "node")

    data: Array
    grad: Tensor | None
    node: Any

    def __init__(self, data: Array) -> None:
        self.data = data
        self.grad = None
        self.node = None
        self._requires_grad = False

    if TYPE_CHECKING:  # what the rooms attach
        # fmt: off
        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __rfloordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __rmod__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __getitem__(self, key: Any) -> Tensor: ...
        def __setitem__(self, key: Any, value: Any) -> None: ...
        # fmt: on

    # ---- what it is ----

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.data.ndim

    @property
    def size(self) -> Count:
        """Number of elements, as in NumPy; `x.size()` and `x.size(dim)` are PyTorch's."""
        count = Count(self.data.size)
        count.shape = self.data.shape
        return count

    @property
    def strides(self) -> tuple[int, ...]:
        """Steps between neighbours along each axis, in elements."""
        return self.data.strides

    @property
    def dtype(self) -> DType:
        """Element type, such as `ranvier.float32`."""
        return DTYPES[self.data.dtype]

    @property
    def device(self) -> Device:
        """Where it lives."""
        return Device(self.data.device)

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user rather than computed from tensors with gradients."""
        return self.node is None

    @property
    def requires_grad(self) -> bool:
        """Whether operations on it are recorded for backward."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and not self.dtype.is_floating_point:
            raise TypeError(
                f"[requires_grad] expected a floating dtype, got {self.dtype.name} - only "
                "continuous values have gradients; convert with .to(rv.float32)"
            )
        if not value and self.node is not None:
            raise RuntimeError(
                "[requires_grad] expected a leaf, got a computed tensor - use .detach()"
            )
        self._requires_grad = bool(value)

    def requires_grad_(self, value: bool = True) -> Tensor:
        """Sets `requires_grad` to `value` and returns the tensor."""
        self.requires_grad = value
        return self

    # ---- reading values on the host ----

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array over the same memory (cpu), without copying.

        Raises:
            TypeError: bfloat16 (NumPy has no such type), or device meta.
        """
        if self.dtype.numpy is None:
            raise TypeError(
                "[numpy] expected a dtype that NumPy has, got bfloat16 - convert with "
                ".to(rv.float32)"
            )
        return self.data.numpy()

    def item(self) -> float | int | bool:
        """The value of a one-element tensor as a Python number."""
        value: Any = self.data.item()
        return value

    def tolist(self) -> Any:
        """Nested Python lists of the values."""
        x = self.cpu() if self.device.type == "cuda" else self
        return (x.float() if x.dtype.numpy is None else x).numpy().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        a = self.numpy()
        if dtype is not None and a.dtype != dtype:
            return a.astype(dtype)
        return a.copy() if copy else a

    def __dlpack__(self, **options: Any) -> Any:
        return self.data.exporter().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.is_floating_point:
            raise TypeError(f"[index] expected an integer tensor, got {self.dtype.name}")
        return int(self.item())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"[bool] expected one element, got shape {self.shape} - use .any() or .all()"
            )
        return bool(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("[len] expected at least one axis, got a scalar tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    __hash__ = object.__hash__
    __array_ufunc__ = None  # NumPy arrays leave mixed operators to us, and we name the cure

    def __repr__(self) -> str:
        tail = "" if self.dtype.name in ("float32", "int64", "bool") else f", {self.dtype.name}"
        if self.device.type != "cpu":
            tail += f", device='{self.device}'"
        if self._requires_grad:
            tail += ", requires_grad=True"
        if self.device.type == "meta":
            return f"tensor(..., shape={self.shape}{tail})"
        data = self.data
        if 0 in data.strides:  # equal elements: as many as make NumPy leave some out stand for all
            many = int(np.get_printoptions()["threshold"]) + 1
            cut: Any = data.index(tuple([slice(None if step else many) for step in data.strides]))
            data = cut
        if self.dtype.numpy is None:
            data = data.cast(0)
        if self.device.type == "cuda":
            data = _core.to_device(data, 0)
        text = np.array2string(data.numpy(), separator=", ", prefix="tensor(", precision=4)
        if not self.data.size and self.ndim != 1:  # no element says it
            text += f", shape={self.shape}"
        return f"tensor({text}{tail})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    # ---- graph ----

    def detach(self) -> Tensor:
        """The same values, without history and without gradient."""
        return Tensor(self.data)

    def backward(self, gradient: Tensor | None = None, retain_graph: bool = False) -> None:
        """Adds the gradient of this tensor to `.grad` of the leaves; see `autograd.backward`.

        Args:
            gradient: that of the objective by this tensor; 1 for a scalar.
            retain_graph: keeps the saved values for a second backward.
        """
        from ranvier import autograd

        autograd.backward(self, gradient, retain_graph)

    def retain_grad(self) -> None:
        """Asks backward to fill `.grad` of this computed tensor as well."""
        from ranvier import autograd

        autograd.retain_grad(self)

    # ---- in place ----

    def _writable(self, op: str) -> Array:
        from ranvier import autograd

        if self.node is not None:
            raise RuntimeError(
                f"[{op}] expected a tensor without history, got one that was computed from tensors "
                "with gradients - write y = x ... instead of changing x, or .detach() it first"
            )
        if self._requires_grad and autograd.is_grad_enabled():
            raise RuntimeError(
                f"[{op}] expected no gradient to be recorded, got a leaf with requires_grad=True - "
                "change it inside `with rv.no_grad():`"
            )
        return self.data

    def copy_(self, source: Any) -> Tensor:
        """Writes `source` (a tensor, array or number that broadcasts) into this tensor's memory."""
        data = self._writable("copy_")
        value = source.data if isinstance(source, Tensor) else array_for(source, data)
        _core.copy_into(data, value)
        clock.changed(data)
        return self

    def fill_(self, value: float) -> Tensor:
        """Sets every element to `value`."""
        return self.copy_(value)

    def zero_(self) -> Tensor:
        """Sets every element to zero."""
        return self.copy_(0)

    # ---- copies ----

    def __copy__(self) -> Tensor:
        new = self.__class__.__new__(self.__class__)
        Tensor.__init__(new, self.data)
        new._requires_grad = self._requires_grad
        return new

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.node is not None:
            raise RuntimeError("[deepcopy] expected a leaf, got a computed tensor - detach it")
        data = _core.empty_like(self.data)
        _core.copy_into(data, self.data)
        new = self.__class__.__new__(self.__class__)
        Tensor.__init__(new, data)
        new._requires_grad = self._requires_grad
        memo[id(self)] = new
        if self.grad is not None:
            new.grad = self.grad.__deepcopy__(memo)
        return new

    def __reduce__(self) -> Any:
        """In-memory pickling (joblib, sklearn's clone) goes through NumPy arrays."""
        plain = self.data.cast(0) if self.dtype.numpy is None else self.data
        if self.device.type == "cuda":
            plain = _core.to_device(plain, 0)
        return (
            _rebuild,
            (self.__class__, plain.contiguous().numpy(), self.dtype, str(self.device),
             self._requires_grad),
        )  # fmt: skip


def _rebuild(cls: Any, values: np.ndarray, dtype: DType, device: str, grad: bool) -> Tensor:
    array = _core.import_array(values.copy()).cast(dtype.code)
    where = as_device(device)
    if where.type == "cuda":
        array = _core.to_device(array, where.code)
    new = cls.__new__(cls)
    Tensor.__init__(new, array)
    new._requires_grad = grad
    return new


def array_for(value: Any, like: Array) -> Array:
    """An Array of `value`; numbers take the dtype of `like`."""
    if isinstance(value, (bool, int, float)) and abs(value) <= 2**53:  # exact as a double
        if like.dtype in _LIMITS:
            _check_limits(value, value, like.dtype)
        return _core.scalar(float(value), like.dtype, like.device)
    return from_host(value, DTYPES[like.dtype] if isinstance(value, int) else None)


# What a number may be that is written into these, by dtype code: uint8 takes -1 as 255, as PyTorch.
_LIMITS = {int32.code: (-(2**31), 2**31 - 1), uint8.code: (-255, 255)}


def _check_limits(lowest: float, highest: float, code: int) -> None:
    least, most = _LIMITS[code]
    if lowest < least or highest > most:
        raise ValueError(
            f"[tensor] expected numbers from {least} to {most} for {DTYPES[code].name}, got "
            f"{lowest if lowest < least else highest} - use a wider dtype"
        )


# A replay would see the values of the recording again.
_OUTSIDE = "make that tensor before the step, or pass it as an argument"


def from_host(data: Any, dtype: Any = None) -> Array:
    """Copies Python numbers, nested lists, NumPy arrays or DLPack exporters into a new Array."""
    _core.check_host_read("values from the host", _OUTSIDE)
    if isinstance(data, Tensor):
        array = data.data
        copy = _core.empty_like(array.cast(as_dtype(dtype).code) if dtype is not None else array)
        _core.copy_into(copy, array)
        return copy
    python = not isinstance(data, (np.ndarray, np.generic)) and not hasattr(data, "__dlpack__")
    try:
        values = np.asarray(data)
    except ValueError:
        raise ValueError(
            "[tensor] expected nested lists of one shape, got rows of different lengths"
        ) from None
    if python and values.dtype == np.float64:
        values = values.astype(np.float32) if dtype is None else values
    if values.dtype == object:
        values = _beyond_64_bits(values, dtype)
    target = as_dtype(values.dtype if dtype is None else dtype)
    if python and target.code in _LIMITS and values.size:
        _check_limits(values.min(), values.max(), target.code)
    if not values.dtype.isnative or values.dtype.name not in _IMPORTABLE:
        values = values.astype(target.numpy or np.float32)
    if not values.flags.writeable or _scattered(values):
        values = values.copy()  # the import hands out memory, and takes none that is read-only
    source = _core.import_array(values)
    array = _core.empty(values.shape, target.code, 0)
    _core.copy_into(array, source)
    return array


def _beyond_64_bits(values: np.ndarray, dtype: Any) -> np.ndarray:
    """What NumPy keeps as objects: whole numbers of more than 64 bits, where floats hold them."""
    if not all(isinstance(v, int | float) for v in values.flat):
        raise TypeError("[tensor] expected numbers, got Python objects")
    if dtype is not None and as_dtype(dtype).is_floating_point:
        try:
            return values.astype(np.float64)
        except OverflowError:
            pass
    raise ValueError(
        "[tensor] expected whole numbers that 64 bits hold, got larger ones - write them as floats"
    )


_IMPORTABLE = frozenset(t.name for t in DTYPES if t.numpy is not None)


def tensor(data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor holding a copy of `data`.

    Python floats become float32, integers int64; NumPy arrays keep their dtype.

    Args:
        data: number, nested lists, NumPy array, Tensor, or DLPack exporter.
        dtype: convert to this type.
        device: "cpu", "cuda", "cuda:0" or "meta".
        requires_grad: record operations on it for backward.

    Example:
        >>> import ranvier as rv
        >>> rv.tensor([[1.0, 2.0], [3.0, 4.0]]).shape
        (2, 2)
    """
    array = from_host(data, dtype)
    where = as_device(device)
    if where.code != 0:
        array = (
            _core.empty(array.shape, array.dtype, where.code)
            if where.type == "meta"
            else _core.to_device(array, where.code)
        )
    return Tensor(array).requires_grad_(requires_grad)


def _scattered(values: np.ndarray) -> bool:
    """Whether elements lie where no array of their own would have them, as fields of records do."""
    return not values.flags.aligned or any(step % values.itemsize for step in values.strides)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor over the memory of a writable NumPy array, without copying."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"[from_numpy] expected a NumPy array, got {type(array).__name__}")
    as_dtype(array.dtype)
    if not array.flags.writeable:
        raise ValueError(
            "[from_numpy] expected a writable array, got a read-only one - use rv.tensor to copy it"
        )
    if not array.dtype.isnative or _scattered(array):
        raise ValueError(
            "[from_numpy] expected aligned numbers in this machine's byte order, got dtype "
            f"{array.dtype.str!r} with strides of {array.strides} bytes - use rv.tensor to copy it"
        )
    _core.check_host_read("memory of the host", _OUTSIDE)
    return Tensor(_core.import_array(array))


def from_dlpack(exporter: Any) -> Tensor:
    """A tensor over the memory of any object with `__dlpack__` (torch, CuPy, JAX, NumPy ...)."""
    if not hasattr(exporter, "__dlpack__"):
        raise TypeError(
            f"[from_dlpack] expected an object with __dlpack__, got {type(exporter).__name__}"
        )
    _core.check_host_read("memory of the host", _OUTSIDE)
    return Tensor(_core.import_array(exporter))


def attach(*names: str) -> Callable[[F], F]:
    """Makes a function a method of Tensor, under its own name or the given ones.

    Ops use it, so that Tensor itself knows none of them.
    """

    def decorate(fn: F) -> F:
        for name in names or (fn.__name__,):
            setattr(Tensor, name, fn)
        return fn

    return decorate


def not_a_tensor(x: Any) -> TypeError:
    """The error of the op that the user called, about an argument that must be a tensor."""
    name, kind = _core.op_name() or "tensor", "None" if x is None else type(x).__name__
    cure = "leave .data out" if isinstance(x, Array) else "wrap it in rv.tensor"
    return TypeError(f"[{name}] expected a tensor, got {kind} - {cure}")


def check_tensors(*arguments: Any) -> None:
    """Checks what must be tensors, in functions whose first line would say it worse."""
    for x in arguments:
        if not isinstance(x, Tensor):
            raise not_a_tensor(x)


def shape_of(op: str, shape: Sequence[Any]) -> tuple[int, ...]:
    """Reads `f(2, 3)` and `f((2, 3))` alike."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = shape[0]
    if len(shape) > 8:
        raise ValueError(f"[{op}] expected at most 8 dimensions, got {len(shape)}")
    try:
        sizes = tuple([operator.index(s) for s in shape])
    except TypeError:
        kinds = ", ".join(type(s).__name__ for s in shape)
        raise TypeError(f"[{op}] expected whole numbers as sizes, got {kinds}") from None
    if sizes and max(sizes) >= 2**63:
        raise ValueError(f"[{op}] expected sizes below 2^63, got {sizes}")
    return sizes
