"""Windows laid out as columns, and columns added back, as Functions."""

from __future__ import annotations

import math

from ranvier import _core
from ranvier.autograd import Function
from ranvier.ops._taps import Window, filled, view

Array = _core.Array
EVERY = (slice(None), slice(None))


def columns(x: Array, window: Window, outputs: tuple[int, ...]) -> Array:
    """(N, C, ...) as (N, C taps, windows): one copy for each tap; padding stays zero."""
    n, c, *sizes = x.shape
    shape = (n, c, *window.kernel, *outputs)
    padded = any(side for pair in window.padding for side in pair)
    y = filled(shape, x) if padded else _core.empty(shape, x.dtype, x.device)
    for tap, places, samples in window.taps(tuple(sizes), outputs):
        _core.copy_into(view(y, *EVERY, *tap, *places), view(x, *EVERY, *samples))
    return y.reshape((n, c * math.prod(window.kernel), math.prod(outputs)))


def added(cols: Array, sizes: tuple[int, ...], window: Window, outputs: tuple[int, ...]) -> Array:
    """The adjoint: every column adds to the samples that its window holds, tap after tap."""
    n, c = cols.shape[0], cols.shape[1] // math.prod(window.kernel)
    given = cols.reshape((n, c, *window.kernel, *outputs))
    x = filled((n, c, *sizes), cols)
    for tap, places, samples in window.taps(sizes, outputs):
        _core.add_into(view(x, *EVERY, *samples), view(given, *EVERY, *tap, *places))
    return x


class Im2Col(Function):
    """Windows to columns."""

    def forward(self, x: Array, *, window: Window, outputs: tuple[int, ...]) -> Array:
        self.sizes, self.window, self.places = x.shape[2:], window, outputs
        return columns(x, window, outputs)

    def backward(self, grad: Array) -> Array:
        return added(grad, self.sizes, self.window, self.places)


class Col2Im(Function):
    """Columns added back."""

    def forward(
        self, cols: Array, *, sizes: tuple[int, ...], window: Window, outputs: tuple[int, ...]
    ) -> Array:
        self.window, self.places = window, outputs
        return added(cols, sizes, window, outputs)

    def backward(self, grad: Array) -> Array:
        return columns(grad, self.window, self.places)
