"""Reading and writing along one axis at places that an index tensor names.

    gather:   y[i, j] = x[index[i, j], j]           (dim = 0; likewise along any axis)
    scatter:  x[index[i, j], j] = src[i, j]         of several for one place the last wins
    scatter_add:  x[index[i, j], j] += src[i, j]    added in the order of the index

Each is the other's adjoint: the gradient of gather is a scatter_add, that of scatter_add's source a
gather. Sums have a fixed order, so results have the same bits on every run. Negative indices count
from the end.
"""

from __future__ import annotations

from typing import Any

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._arguments import axis_of, is_number, whole
from ranvier.tensor import Tensor, attach, check_tensors

Array = _core.Array

_SET, _ADD, _MULTIPLY, _MAX, _MIN = range(5)  # what put_along does at a place


def _zeros(shape: tuple[int, ...], dtype: int, device: int) -> Array:
    zeros = _core.empty(shape, dtype, device)
    _core.copy_into(zeros, _core.scalar(0.0, dtype, device))
    return zeros


def _index(op: str, index: Any) -> Tensor:
    if not isinstance(index, Tensor):
        raise TypeError(
            f"[{op}] expected an index tensor, got {type(index).__name__} - wrap it in rv.tensor"
        )
    return index


class _Take(Function):
    def forward(self, x: Array, index: Array, *, dim: int) -> Array:
        self.like, self.dim = (x.shape, x.dtype, x.device), dim
        self.save(index)
        return _core.take_along(x, index, dim)

    def backward(self, grad: Array) -> Any:
        (index,) = self.saved
        dx = _zeros(*self.like)
        _core.put_along(dx, index, grad, self.dim, _ADD)
        return dx, None


class _Put(Function):
    def forward(self, x: Array, index: Array, source: Any, *, dim: int, add: bool) -> Array:
        y = _core.empty_like(x)
        _core.copy_into(y, x)
        if not isinstance(source, Array):
            source = _core.scalar(float(source), x.dtype, x.device)
        _core.put_along(y, index, source, dim, _ADD if add else _SET)
        self.save(index)
        self.dim, self.add, self.dtype = dim, add, source.dtype
        return y

    def backward(self, grad: Array) -> Any:
        (index,) = self.saved
        by_x, by_source = grad, None
        if self.needs[0] and not self.add:  # what was overwritten has no influence
            by_x = _core.empty_like(grad)
            _core.copy_into(by_x, grad)
            nothing = _core.scalar(0.0, grad.dtype, grad.device)
            _core.put_along(by_x, index, nothing, self.dim, _SET)
        if self.needs[2]:
            by_source = _core.take_along(grad, index, self.dim)
            if not self.add:
                by_source = _core.where(self._won(index, grad.shape), by_source, 0.0)
            by_source = by_source.cast(self.dtype)
        return by_x, None, by_source

    def _won(self, index: Array, shape: tuple[int, ...]) -> Array:
        """Which writers were the last ones at their place: each writes its number and looks."""
        ones = _core.scalar(1.0, 4, index.device).expand((index.size,))
        numbers = _core.scan(ones, 0, False, False).reshape(index.shape)
        board = _zeros(shape, 4, index.device)
        _core.put_along(board, index, numbers, self.dim, _SET)
        return _core.equal(_core.take_along(board, index, self.dim), numbers)


class _AddSlices(Function):
    """Whole slices are added at a time, where `_Put` would look at the index of each element."""

    def forward(self, x: Array, index: Array, source: Array, *, dim: int) -> Array:
        y = _core.empty_like(x)
        _core.copy_into(y, x)
        _core.index_put(y, (dim,), [index], dim, source, True)
        self.save(index)
        self.dim, self.dtype = dim, source.dtype
        return y

    def backward(self, grad: Array) -> Any:
        (index,) = self.saved
        by_source = None
        if self.needs[2]:
            by_source = _core.index(grad, (self.dim,), [index], self.dim).cast(self.dtype)
        return grad, None, by_source


@attach("gather")
def gather(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """Reads along one axis: y[..., i, ...] = x[..., index[..., i, ...], ...].

    Args:
        x: any shape.
        dim: the axis that the index is for.
        index: int64 or int32, with as many axes as x, and no larger than x along the others.

    Returns:
        The shape of the index. The gradient of an element of x is the sum over all that read it.

    Raises:
        IndexError: an index outside the axis, which is named.
        ValueError: shapes that do not fit.
        TypeError: indices that are not integers.

    Example:
        >>> import ranvier as rv
        >>> scores = rv.tensor([[0.1, 0.9], [0.8, 0.2]])
        >>> rv.functional.gather(scores, 1, rv.tensor([[1], [0]])).tolist()
        [[0.8999999761581421], [0.800000011920929]]
    """
    return _Take.apply(x, _index("gather", index), dim=dim)


@attach("take_along_dim")
def take_along_dim(x: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` whose two shapes broadcast along the other axes; without `dim`, of x flattened.

    What `argmax(keepdim=True)`, `argsort` and their kin return can be fed to it.
    """
    check_tensors(x)
    index = _index("take_along_dim", indices)
    if dim is None:
        return gather(x.flatten(), 0, index.flatten())
    n = x.ndim
    if not n and not index.ndim:
        return gather(x, dim, index)
    if index.ndim != n:
        raise ValueError(
            f"[take_along_dim] expected as many axes as x, got {index.shape} for x of shape "
            f"{x.shape}"
        )
    dim = axis_of(dim, n)
    rest = _core.broadcast_shapes(_without(x.shape, dim), _without(index.shape, dim))
    return gather(
        x.expand(_with(rest, dim, x.shape)), dim, index.expand(_with(rest, dim, index.shape))
    )


def _without(shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    return (*shape[:dim], 1, *shape[dim + 1 :])


def _with(rest: tuple[int, ...], dim: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*rest[:dim], shape[dim], *rest[dim + 1 :])


def _put(op: str, x: Tensor, dim: int, index: Tensor, src: Any, add: bool) -> Tensor:
    index, src = _source(op, _index(op, index), src)
    return _Put.apply(x, index, src, dim=dim, add=add)


def _source(op: str, index: Tensor, src: Any) -> tuple[Tensor, Any]:
    """The source in the shape of the index."""
    if isinstance(src, Tensor):
        if src.ndim != index.ndim or any(
            s < i for s, i in zip(src.shape, index.shape, strict=True)
        ):
            raise ValueError(
                f"[{op}] expected a source of at least the index's shape {index.shape}, got "
                f"{src.shape}"
            )
        if src.shape != index.shape:
            src = src[tuple([slice(size) for size in index.shape])]
    elif not is_number(src):
        raise TypeError(f"[{op}] expected a tensor or a number, got {type(src).__name__}")
    return index, src


@attach("scatter")
def scatter(x: Tensor, dim: int, index: Tensor, src: Tensor | float) -> Tensor:
    """A copy of x in which y[..., index[..., i, ...], ...] = src[..., i, ...].

    Where an index occurs twice in a lane the last one wins, and gets the gradient.

    Args:
        x: any shape.
        dim: the axis that the index is for.
        index: int64 or int32; no larger than x along the other axes, nor than src along any.
        src: what to write: a tensor, or one number.

    Raises:
        IndexError: an index outside the axis, which is named.
        ValueError: shapes that do not fit.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.scatter(rv.zeros(3), 0, rv.tensor([2, 0]), rv.tensor([5.0, 6.0])).tolist()
        [6.0, 0.0, 5.0]
    """
    return _put("scatter", x, dim, index, src, False)


@attach("scatter_add")
def scatter_add(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy of x to which src is added: y[..., index[..., i, ...], ...] += src[..., i, ...].

    Additions for one place happen in the order of the index: the same bits on every run.

    Raises:
        IndexError: an index outside the axis, which is named.
        ValueError: shapes that do not fit.
        TypeError: bool, which has no sums.
    """
    return _put("scatter_add", x, dim, index, src, True)


class _Combine(Function):
    """Products and extremes; where sources meet an x that only starts them, it has no share."""

    def forward(
        self, x: Array, index: Array, source: Array, *, dim: int, mode: int, starts: bool
    ) -> Array:
        y = _core.empty_like(x)
        _core.copy_into(y, x)
        _core.put_along(y, index, source, dim, mode)
        self.save(x, index, source, y)
        self.dim, self.mode, self.starts = dim, mode, starts
        return y

    def backward(self, grad: Array) -> Any:
        x, index, source, y = self.saved
        dim = self.dim
        if self.mode == _MULTIPLY:  # the product of all other factors, of which some may be 0
            zero, none = _core.equal(x, 0.0), _core.equal(source, 0.0)
            zeros = zero.cast(x.dtype)
            _core.put_along(zeros, index, none.cast(x.dtype), dim, _ADD)
            product = _core.where(zero, 1.0, x)  # of the factors that are not 0
            _core.put_along(product, index, _core.where(none, 1.0, source), dim, _MULTIPLY)
            alone = _core.where(_core.equal(zeros, 1.0), product, 0.0)
            full = _core.where(_core.equal(zeros, 0.0), product, 0.0)
            by_x = _core.where(zero, alone, _core.divide(full, _core.where(zero, 1.0, x)))
            at = [_core.take_along(a, index, dim) for a in (alone, full, grad)]
            others = _core.divide(at[1], _core.where(none, 1.0, source))
            by_source = _core.multiply(_core.where(none, at[0], others), at[2])
            return _core.multiply(by_x, grad), None, by_source
        # an extreme: in equal parts to all that reach it
        mine = _core.equal(x, y).cast(x.dtype)
        if self.starts:
            nothing = _core.scalar(0.0, x.dtype, x.device)
            _core.put_along(mine, index, nothing, dim, _SET)
        theirs = _core.equal(source, _core.take_along(y, index, dim)).cast(x.dtype)
        count = _core.add(mine, 0.0)
        _core.put_along(count, index, theirs, dim, _ADD)
        share = _core.divide(grad, count)
        by_source = _core.multiply(_core.take_along(share, index, dim), theirs)
        return _core.where(_core.equal(mine, 0.0), 0.0, share), None, by_source


@attach("scatter_reduce")
def scatter_reduce(
    x: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, include_self: bool = True
) -> Tensor:
    """A copy of x in which all of src that goes to a place is combined there.

    Args:
        x: any shape.
        dim: the axis that the index is for.
        index: int64 or int32; no larger than x along the other axes, nor than src along any.
        src: what to combine.
        reduce: "sum", "prod", "mean", "amax" or "amin". The gradient of an extreme goes in equal
            parts to all that reach it.
        include_self: whether what x holds at a place takes part.

    Raises:
        ValueError: another reduction, or shapes that do not fit.
        IndexError: an index outside the axis, which is named.
        TypeError: bool; whole numbers for "mean".

    Example:
        >>> import ranvier as rv
        >>> index, src = rv.tensor([0, 1, 0]), rv.tensor([1.0, 2.0, 3.0])
        >>> rv.functional.scatter_reduce(rv.zeros(2), 0, index, src, "amax").tolist()
        [3.0, 2.0]
    """
    modes = {"sum": _ADD, "mean": _ADD, "prod": _MULTIPLY, "amax": _MAX, "amin": _MIN}
    if not isinstance(reduce, str) or reduce not in modes:
        raise ValueError(f"[scatter_reduce] expected one of {', '.join(modes)}, got {reduce!r}")
    if not isinstance(src, Tensor):
        raise TypeError(f"[scatter_reduce] expected a tensor as src, got {type(src).__name__}")
    index, src = _source("scatter_reduce", _index("scatter_reduce", index), src)
    if reduce == "mean" and not x.dtype.is_floating_point:
        raise TypeError(f"[scatter_reduce] expected floating numbers to average, got {x.dtype}")
    if not include_self:  # start from what changes nothing: for extremes, from one of the numbers
        start: Any = {"sum": 0.0, "mean": 0.0, "prod": 1.0}.get(reduce, src.detach())
        x = _Put.apply(x, index, start, dim=dim, add=False)
    if reduce not in ("sum", "mean"):
        return _Combine.apply(
            x, index, src.to(x.dtype), dim=dim, mode=modes[reduce], starts=not include_self
        )
    total = _Put.apply(x, index, src, dim=dim, add=True)
    if reduce == "sum":
        return total
    count = Tensor(_zeros(x.shape, x.data.dtype, x.data.device)) + float(include_self)
    ones = Tensor(_core.scalar(1.0, x.data.dtype, x.data.device).expand(index.shape))
    return total / _Put.apply(count, index, ones, dim=dim, add=True).clip(1.0, None)


@attach("index_select")
def index_select(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of x that a list of indices names: y[..., i, ...] = x[..., index[i], ...].

    Args:
        x: any shape.
        dim: the axis to choose from.
        index: (n,), int64 or int32.

    Raises:
        IndexError: an index outside the axis.
        ValueError: the index is not a list.
    """
    check_tensors(x)
    index = _index("index_select", index)
    n = x.ndim
    if index.ndim != 1 or not n:
        raise ValueError(
            f"[index_select] expected a list of indices (n,) and x of at least one axis, got "
            f"shapes {index.shape} and {x.shape}"
        )
    return x[(*[slice(None)] * axis_of(dim, n), index)]


@attach("index_add")
def index_add(x: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy of x to whose slices those of `source` are added: y[..., index[i], ...] += source_i.

    Args:
        x: any shape.
        dim: the axis that the index is for.
        index: (n,), int64 or int32.
        source: the shape of x with n along `dim`.

    Raises:
        ValueError: shapes that do not fit.
    """
    check_tensors(x)
    index, n = _index("index_add", index), x.ndim
    check_tensors(source)
    if index.ndim != 1 or not n or not -n <= whole("dim", dim) < n:
        raise ValueError(
            f"[index_add] expected a list of indices (n,) and an axis of x, got shape "
            f"{index.shape}, axis {dim} and x of shape {x.shape}"
        )
    dim %= n
    wanted = _with(x.shape, dim, (*x.shape[:dim], index.shape[0], *x.shape[dim + 1 :]))
    if source.shape != wanted:
        raise ValueError(f"[index_add] expected a source of shape {wanted}, got {source.shape}")
    if x.dtype.is_floating_point and dim < n - 1:
        return _AddSlices.apply(x, index, source, dim=dim)
    lanes = index.reshape(*[1] * dim, -1, *[1] * (n - dim - 1)).expand(wanted)
    return _Put.apply(x, lanes, source, dim=dim, add=True)


@attach("masked_select")
def masked_select(x: Tensor, mask: Tensor) -> Tensor:
    """The elements of x where the mask holds, in row-major order, as one axis.

    Args:
        x: any shape.
        mask: bool; the two shapes broadcast.

    Raises:
        TypeError: the mask is not bool.
        CaptureError: inside a captured step, because the result's size depends on values.
    """
    if not isinstance(mask, Tensor) or mask.dtype.name != "bool":
        raise TypeError("[masked_select] expected a bool tensor as mask - compare first, as x > 0")
    check_tensors(x)
    shape = _core.broadcast_shapes(x.shape, mask.shape)
    return x.expand(shape)[mask.expand(shape)]


@attach("nonzero")
def nonzero(x: Tensor) -> Tensor:
    """Where x is not zero: one row of indices, int64, for each such element in row-major order.

    Raises:
        CaptureError: inside a captured step, because the result's size depends on values.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.nonzero(rv.tensor([[1.0, 0.0], [0.0, 2.0]])).tolist()
        [[0, 0], [1, 1]]
    """
    check_tensors(x)
    return Tensor(_core.nonzero(x.data))


def one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    """Rows of zeros with a single one: y[..., c] = 1 where c = input[...], int64.

    Args:
        input: class numbers, any shape, int64 or int32.
        num_classes: how many there are; -1 takes the largest plus one, which reads the values.

    Returns:
        The shape of `input` with the classes added as last axis.

    Raises:
        IndexError: a number outside the classes.

    Example:
        >>> import ranvier as rv
        >>> rv.functional.one_hot(rv.tensor([0, 2]), 3).tolist()
        [[1, 0, 0], [0, 0, 1]]
    """
    index = _index("one_hot", input)
    if whole("num_classes", num_classes) == -1:
        if not index.size:
            raise ValueError("[one_hot] expected num_classes for an empty input")
        num_classes = int(index.max().item()) + 1
    if num_classes < 1:
        raise ValueError(f"[one_hot] expected at least one class, got {num_classes}")
    return Tensor(_core.one_hot(index.data, num_classes))


def bincount(x: Tensor, minlength: int = 0) -> Tensor:
    """How often each number occurs: y_i = how many elements of x equal i, int64.

    Args:
        x: (n,), whole numbers from 0 up.
        minlength: the least length of the result, which is the largest number plus one.

    Raises:
        ValueError: x has another shape than (n,), or holds a negative number.
    """
    check_tensors(x)
    if x.ndim != 1 or x.dtype.is_floating_point:
        raise ValueError(f"[bincount] expected integers (n,), got {x.dtype.name} {x.shape}")
    index = x.long()
    if index.size and index.min().item() < 0:
        raise ValueError("[bincount] expected numbers from 0 up, got a negative one")
    size = max(int(index.max().item()) + 1 if index.size else 0, whole("minlength", minlength))
    counts = Tensor(_zeros((size,), 4, x.data.device))
    ones = _core.scalar(1.0, 4, x.data.device).expand(index.shape)
    return scatter_add(counts, 0, index, Tensor(ones))
