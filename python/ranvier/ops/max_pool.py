"""Max pooling with switch variables, over 1, 2 or 3 spatial axes.

    y[n, c, p] = max over taps t of x[n, c, p stride - padding + t dilation]

A switch is the row-major position, inside its window, of the element that won: one byte for windows
of up to 256 elements. The gradient goes to the element that the switch names.

Source: Ranzato et al., "Unsupervised learning of invariant feature hierarchies with applications to
object recognition", CVPR 2007; switches: Zeiler and Fergus, "Visualizing and understanding
convolutional networks", ECCV 2014, section 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._windows import Sizes, per_axis
from ranvier.tensor import Tensor, check_tensors, tensor

Array = _core.Array


class _Window(NamedTuple):
    """Geometry of one pooling, as the kernels take it: an entry per spatial axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil_mode: bool


def _window(
    op: str,
    axes: int,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
) -> _Window:
    return _Window(
        per_axis(op, "kernel_size", kernel_size, axes),
        per_axis(op, "stride", kernel_size if stride is None else stride, axes),
        per_axis(op, "padding", padding, axes),
        per_axis(op, "dilation", dilation, axes),
        ceil_mode,
    )


@lru_cache(maxsize=256)
def _known_window(*arguments: Any) -> tuple[_Window, tuple[Any, ...]]:
    """For whole numbers alone: equal ones need not be. Also as a plain tuple, unpacked faster."""
    window = _window(*arguments)
    return window, tuple(window)


@dataclass(frozen=True, init=False)
class Switches:
    """Where each maximum came from, and the geometry that gives the positions a meaning.

    Attributes:
        positions: Tensor of the output's shape, uint8 (int32 for windows above 256 elements):
            row-major position of the winner inside its window.
        input_shape: shape of what was pooled.
    """

    positions: Tensor
    input_shape: tuple[int, ...]
    window: _Window

    def __init__(self, positions: Tensor, input_shape: tuple[int, ...], window: _Window) -> None:
        # What a frozen dataclass writes here takes 0.3 us more, of 6 for a small image.
        own = self.__dict__
        own["positions"], own["input_shape"], own["window"] = positions, input_shape, window

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the pooled output."""
        return self.positions.shape

    def coordinates(self) -> tuple[np.ndarray, ...]:
        """Spatial coordinates of each winner in the input, one int64 array per axis."""
        taps = np.unravel_index(self.positions.numpy().astype(np.int64), self.window.kernel)
        axes = len(self.window.kernel)
        result = []
        for i, tap in enumerate(taps):
            at = np.arange(self.shape[-axes + i]).reshape([-1] + [1] * (axes - 1 - i))
            start = at * self.window.stride[i] - self.window.padding[i]
            result.append(start + tap * self.window.dilation[i])
        return tuple(result)

    def torch_indices(self) -> np.ndarray:
        """Flat indices within each (n, c) plane, as PyTorch's `return_indices` counts them."""
        axes = len(self.window.kernel)
        return np.ravel_multi_index(self.coordinates(), self.input_shape[-axes:], mode="clip")

    def onnx_indices(self) -> np.ndarray:
        """Flat indices over the whole input, as ONNX MaxPool counts them."""
        axes = len(self.window.kernel)
        plane = int(np.prod(self.input_shape[-axes:]))
        planes = int(np.prod(self.input_shape[:-axes]))
        first = np.arange(planes).reshape(*self.input_shape[:-axes], *[1] * axes) * plane
        return self.torch_indices() + first

    @classmethod
    def from_indices(
        cls,
        indices: Any,
        input_shape: tuple[int, ...],
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
    ) -> Switches:
        """The switches that flat indices say: the inverse of `torch_indices` and `onnx_indices`.

        Args:
            indices: whole numbers of the pooled shape, within each plane (PyTorch) or over the
                whole input (ONNX), which differ by whole planes.
            input_shape: shape of what was pooled, (N, C, ...) or (C, ...).
            kernel_size: and the following: as for the pooling, whose rounding does not matter. One
                number stands for all axes after (N, C).
            stride: the window size by default.
            padding: on both sides.
            dilation: step between the elements of a window.

        Raises:
            ValueError: an index outside its window.

        Example:
            >>> import ranvier as rv
            >>> F = rv.functional
            >>> switches = F.Switches.from_indices([[[3]]], (1, 1, 4), 4)
            >>> F.max_unpool1d(rv.tensor([[[9.0]]]), switches).tolist()
            [[[0.0, 0.0, 0.0, 9.0]]]
        """
        flat = np.asarray(indices.numpy() if isinstance(indices, Tensor) else indices)
        whole = isinstance(kernel_size, int)
        axes = len(input_shape) - 2 if whole else len(kernel_size)  # type: ignore[arg-type]
        window = _Window(
            per_axis("switches", "kernel_size", kernel_size, axes),
            per_axis("switches", "stride", kernel_size if stride is None else stride, axes),
            per_axis("switches", "padding", padding, axes),
            per_axis("switches", "dilation", dilation, axes),
            ceil_mode=False,
        )
        spatial = tuple(input_shape[-axes:])
        at = np.unravel_index(flat % max(int(np.prod(spatial)), 1), spatial)
        taps = []
        for i, coordinate in enumerate(at):
            window_at = np.arange(flat.shape[-axes + i]).reshape([-1] + [1] * (axes - 1 - i))
            start = window_at * window.stride[i] - window.padding[i]
            tap, off = np.divmod(coordinate - start, window.dilation[i])
            if (off != 0).any() or (tap < 0).any() or (tap >= window.kernel[i]).any():
                raise ValueError(
                    f"[switches] expected indices inside their windows of {window.kernel} with "
                    f"stride {window.stride} and padding {window.padding} over {input_shape}, got "
                    "others - switches fit only the pooling that made them"
                )
            taps.append(tap)
        positions = np.ravel_multi_index(tuple(taps), window.kernel)
        kind = np.uint8 if np.prod(window.kernel) <= 256 else np.int32
        return cls(tensor(positions.astype(kind)), tuple(input_shape), window)


class _MaxPool(Function):
    def forward(self, x: Array, *, window: _Window) -> tuple[Array, Array]:
        y, switches = _core.max_pool(x, *window)
        self.save(switches)
        self.shape, self.window = x.shape, window
        return y, switches

    def backward(self, dy: Array, _: Any) -> Array:
        (switches,) = self.saved
        return _core.max_unpool(dy, switches, self.shape, *self.window)


def refuse_indices(op: str) -> NoReturn:
    """Says what to write instead of `return_indices=True`."""
    raise TypeError(
        f"[{op}] expected return_switches=True, got return_indices=True - max_unpool takes the "
        "switches, and their torch_indices() are the indices that PyTorch gives"
    )


def _pool(
    op: str,
    axes: int,
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    return_switches: bool,
    return_indices: bool,
) -> Any:
    if return_indices:
        refuse_indices(op)
    if not isinstance(x, Tensor):
        raise TypeError(f"[{op}] expected a tensor, got {type(x).__name__} - wrap it in rv.tensor")
    plain = type(kernel_size) is type(padding) is type(dilation) is int
    arguments = (op, axes, kernel_size, stride, padding, dilation, bool(ceil_mode))
    if plain and (stride is None or type(stride) is int):
        window, parts = _known_window(*arguments)
    else:
        window = _window(*arguments)
        parts = tuple(window)
    data = x.data
    shape = data.shape
    ndim = len(shape)
    if ndim != axes + 2 and ndim != axes + 1:
        names = "".join("DHW"[-axes:])
        raise ValueError(
            f"[{op}] expected x of shape (N, C, {', '.join(names)}) or (C, {', '.join(names)}), "
            f"got {shape}"
        )
    if ndim == axes + 1:
        y, positions = _MaxPool.apply(x.unsqueeze(0), window=window)
        y, positions = y[0], positions[0]
    elif x._requires_grad or _core.mode() > 1:
        y, positions = _MaxPool.apply(x, window=window)
    else:  # no graph, and nothing else to look after: small images are dominated by what is around
        kernel, steps, around, apart, up = parts
        values, switches = _core.max_pool(data, kernel, steps, around, apart, up, return_switches)
        if not return_switches:
            return Tensor(values)
        y, positions = Tensor(values), Tensor(switches)
    return (y, Switches(positions, shape, window)) if return_switches else y


def max_pool1d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_switches: bool = False,
    return_indices: bool = False,
) -> Any:
    """Max pooling of x (N, C, W) or (C, W); see `max_pool2d`."""
    return _pool(
        "max_pool1d", 1, x, kernel_size, stride, padding, dilation, ceil_mode, return_switches,
        return_indices,
    )  # fmt: skip


def max_pool2d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_switches: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value in each window; padding never wins, NaN always does, ties go to the first.

    Output size per axis: floor((n + 2 padding - dilation (kernel - 1) - 1) / stride) + 1.

    Args:
        x: (N, C, H, W) or (C, H, W).
        kernel_size: window size, a number or (height, width).
        stride: step between windows; the window size by default.
        padding: at most half the window.
        dilation: step between the elements of a window.
        ceil_mode: round the output size up (a window must start inside the padded input).
        return_switches: also return the `Switches`.
        return_indices: False; what PyTorch calls so, and True is refused with the cure.

    Returns:
        y (N, C, P, Q), or (y, switches).

    Raises:
        ValueError: a window larger than the padded input, or sizes below 1.
        TypeError: `return_indices=True`.

    Example:
        >>> import ranvier as rv
        >>> x = rv.tensor([[[[1.0, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8]]]])
        >>> rv.functional.max_pool2d(x, 2).tolist()
        [[[[5.0, 6.0], [7.0, 8.0]]]]
    """
    return _pool(
        "max_pool2d", 2, x, kernel_size, stride, padding, dilation, ceil_mode, return_switches,
        return_indices,
    )  # fmt: skip


def max_pool3d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_switches: bool = False,
    return_indices: bool = False,
) -> Any:
    """Max pooling of x (N, C, D, H, W) or (C, D, H, W); see `max_pool2d`."""
    return _pool(
        "max_pool3d", 3, x, kernel_size, stride, padding, dilation, ceil_mode, return_switches,
        return_indices,
    )  # fmt: skip


class _MaxUnpool(Function):
    def forward(self, y: Array, *, switches: Switches) -> Array:
        positions = switches.positions.data
        self.save(positions)
        self.switches = switches
        return _core.max_unpool(y, positions, switches.input_shape, *switches.window)

    def backward(self, dx: Array) -> Array:
        (positions,) = self.saved
        s = self.switches
        return _core.max_unpool_grad(dx, positions, s.input_shape, *s.window)


def _unpool(op: str, axes: int, y: Tensor, switches: Switches) -> Tensor:
    if not isinstance(switches, Switches):
        raise TypeError(
            f"[{op}] expected the Switches of max_pool{axes}d(..., return_switches=True), got "
            f"{type(switches).__name__}"
        )
    if len(switches.window.kernel) != axes:
        raise ValueError(
            f"[{op}] expected switches of max_pool{axes}d, got those of "
            f"max_pool{len(switches.window.kernel)}d"
        )
    check_tensors(y)
    if y.shape != switches.shape:
        raise ValueError(
            f"[{op}] expected y of the pooled shape {switches.shape}, got {y.shape} - switches fit "
            "only the pooling that made them"
        )
    if y.ndim == axes + 1:
        batched = Switches(
            switches.positions.unsqueeze(0), (1, *switches.input_shape), switches.window
        )
        return _MaxUnpool.apply(y.unsqueeze(0), switches=batched)[0]
    return _MaxUnpool.apply(y, switches=switches)


def max_unpool1d(y: Tensor, switches: Switches) -> Tensor:
    """Max unpooling of y (N, C, Q) or (C, Q); see `max_unpool2d`."""
    return _unpool("max_unpool1d", 1, y, switches)


def max_unpool2d(y: Tensor, switches: Switches) -> Tensor:
    """Puts each value back where its switch points; all else is zero.

    Where windows overlap and chose the same element, their values are summed: the exact transpose
    of reading the input at the switches, and the same on every device.

    Args:
        y: values of the pooled shape (N, C, P, Q) or (C, P, Q).
        switches: from `max_pool2d(..., return_switches=True)`.

    Returns:
        A tensor of the shape that was pooled.

    Raises:
        ValueError: y is not of the pooled shape, or the switches are of another pooling.
        TypeError: not the `Switches` of a pooling.

    Source: Zeiler and Fergus (2014), section 2.1.

    Example:
        >>> import ranvier as rv
        >>> F = rv.functional
        >>> x = rv.tensor([[[[1.0, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8]]]])
        >>> _, switches = F.max_pool2d(x, 2, return_switches=True)
        >>> F.max_unpool2d(rv.tensor([[[[1.0, 2], [3, 4]]]]), switches).tolist()[0][0][3]
        [3.0, 0.0, 0.0, 4.0]
    """
    return _unpool("max_unpool2d", 2, y, switches)


def max_unpool3d(y: Tensor, switches: Switches) -> Tensor:
    """Max unpooling of y (N, C, P, Q, R) or (C, P, Q, R); see `max_unpool2d`."""
    return _unpool("max_unpool3d", 3, y, switches)
