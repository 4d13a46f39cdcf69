"""Holds an op against PyTorch on hundreds of awkward calls, drawn from a seed.

A test is a function that draws one call::

    @parity(300)
    def test_linear(draw):
        m, k = draw.size(9), draw.size(33)
        return draw.call(F.linear, torch_F.linear, draw.normal(m, k), draw.normal(7, k))

It is called for the numbers 0, 1, 2 ...; each call is run by ours in float64 and in float32, on
inputs of random physical layouts, and by PyTorch in float64. Values and the gradients of all
floating inputs, for random upstream gradients, must agree within an error bound:

* ``multilinear`` calls (sums, products, convolutions): 4 n eps times the sum of the terms' absolute
  values, which is PyTorch's own result for absolute inputs; n is its result for ones (Higham,
  Accuracy and Stability of Numerical Algorithms, section 3.1);
* other calls: 4 n eps times ``scale``, by default the largest value (for gradients ``grad_scale``
  and the largest gradient).

Where PyTorch refuses a call, ours must refuse it too. A failure names the number, the shapes and
the options; ``RANVIER_PARITY=17 pytest tests/external -k linear`` runs number 17 alone.
"""

from __future__ import annotations

import functools
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from tests.harness import LAYOUTS, assert_close, host

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

SIZES = (1, 1, 2, 3, 4, 5, 7, 8, 9, 11, 13, 15, 16, 17, 23, 31, 32, 33, 37, 64, 65)
LAYOUT_NAMES = ("plain", "plain", *LAYOUTS)


class Skip(Exception):
    """The draw says nothing that is worth checking."""


@dataclass
class Array:
    """An input: numbers in float64 (or integers), whether it wants a gradient, and its layout."""

    values: np.ndarray
    gradient: bool
    layout: str

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.values.shape)) or "scalar"
        kind = "" if self.values.dtype == np.float64 else f":{self.values.dtype}"
        return f"{shape}{kind}" + ("" if self.layout == "plain" else f" {self.layout}")


@dataclass
class Call:
    """One call of an op and of its twin in PyTorch."""

    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    arrays: Sequence[Array | None]
    text: str
    n: float | None = None
    grad_n: float | None = None
    scale: float | None = None
    grad_scale: float | None = None
    multilinear: bool = False
    gradient: bool = True
    dtypes: Sequence[str] = ("float64", "float32")
    exact: bool = False  # the values are moved, compared or counted, never computed
    outputs: int = 99  # how many of them have gradients

    def __repr__(self) -> str:
        return self.text


class Draw:
    """Random sizes, options and arrays of one call."""

    def __init__(self, name: str, number: int) -> None:
        self.rng = np.random.default_rng(zlib.crc32(f"{name} {number}".encode()))
        self.number = number

    def size(self, high: int = 33, low: int = 1) -> int:
        """An awkward size: ones, primes, vector widths and their neighbours."""
        return self.choice([s for s in SIZES if low <= s <= high])

    def integer(self, low: int, high: int) -> int:
        """A whole number from [low, high]."""
        return int(self.rng.integers(low, high + 1))

    def choice(self, options: Sequence[Any]) -> Any:
        """One of the options."""
        return options[int(self.rng.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        """True in this share of the draws."""
        return bool(self.rng.random() < probability)

    def batch(self) -> int:
        """A batch size, now and then zero."""
        return 0 if self.chance(0.06) else self.choice([1, 2, 3, 5])

    def array(self, values: np.ndarray, gradient: bool = True) -> Array:
        """These numbers in a random layout."""
        return Array(values, gradient and values.dtype.kind == "f", self.choice(LAYOUT_NAMES))

    def normal(self, *shape: int, mean: float = 0.0, scale: float = 1.0) -> Array:
        """Normal numbers; now and then one slice repeated along an axis, without memory."""
        values = np.asarray(self.rng.normal(mean, scale, shape))
        if values.size and values.ndim and self.chance(0.05):
            axis = self.integer(0, values.ndim - 1)
            values = np.repeat(values.take([0], axis), shape[axis], axis)
            return Array(values, True, f"expanded along {axis}")
        return self.array(values)

    def nonzero(self, *shape: int) -> Array:
        """Numbers of both signs, at least 0.1 from zero."""
        sign = self.rng.choice([-1.0, 1.0], shape)
        return self.array(np.asarray(sign * self.rng.uniform(0.1, 2.0, shape)))

    def positive(self, *shape: int) -> Array:
        """Numbers from [0.1, 2)."""
        return self.array(np.asarray(self.rng.uniform(0.1, 2.0, shape)))

    def distinct(self, *shape: int) -> Array:
        """Different multiples of 1/16: no ties."""
        count = int(np.prod(shape))
        places = self.rng.permutation(count) - count // 2 + 0.5
        return self.array(np.asarray(places.reshape(shape) / 16))

    def integers(self, low: int, high: int, *shape: int) -> Array:
        """Whole numbers from [low, high)."""
        return self.array(np.asarray(self.rng.integers(low, high, shape), np.int64))

    def booleans(self, *shape: int) -> Array:
        """Truth values."""
        return self.array(np.asarray(self.rng.random(shape) < 0.5))

    def call(
        self,
        ours: Callable[..., Any],
        theirs: Callable[..., Any],
        *arrays: Array | None,
        options: dict[str, Any] | None = None,
        their_options: dict[str, Any] | None = None,
        **bounds: Any,
    ) -> Call:
        """The call of both; ``options`` go to both unless PyTorch spells them differently."""
        options = options or {}
        given = options if their_options is None else their_options
        name = getattr(ours, "__name__", "op")
        shown = [*map(repr, arrays), *(f"{k}={v}" for k, v in options.items())]
        return Call(
            functools.partial(ours, **options),
            functools.partial(theirs, **given),
            arrays,
            f"{name}({', '.join(shown)})",
            **bounds,
        )


def as_tuple(result: Any) -> tuple[Any, ...]:
    """All tensors of a result, nested ones after one another."""
    if isinstance(result, tuple | list):
        return tuple(t for part in result for t in as_tuple(part))
    return (result,)


def run_theirs(
    call: Call, values: Sequence[Any], grads: Sequence[np.ndarray | None] | None
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """PyTorch's outputs and gradients, in float64."""
    tensors = []
    for array, value in zip(call.arrays, values, strict=True):
        if value is None:
            tensors.append(None)
            continue
        tensor = torch.tensor(np.ascontiguousarray(value).reshape(value.shape))
        tensors.append(tensor.requires_grad_(grads is not None and array.gradient))
    outputs = as_tuple(call.theirs(*tensors))
    if grads is None:
        return [y.detach().numpy() for y in outputs], []
    pairs = [(y, torch.tensor(g)) for y, g in zip(outputs, grads, strict=True) if g is not None]
    wanted = [t for t in tensors if t is not None and t.requires_grad]
    results = torch.autograd.grad(
        [y for y, _ in pairs], wanted, [g for _, g in pairs], allow_unused=True
    )
    gradients = [
        np.zeros(t.shape) if r is None else r.numpy() for t, r in zip(wanted, results, strict=True)
    ]
    return [y.detach().numpy() for y in outputs], gradients


def run_ours(
    call: Call, values: Sequence[Any], grads: Sequence[np.ndarray | None] | None
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Our outputs and gradients, on inputs in the layouts that were drawn."""
    tensors: list[Any] = []
    for array, value in zip(call.arrays, values, strict=True):
        if value is None:
            tensors.append(None)
            continue
        tensor = rv.from_numpy(lay(value, array.layout))
        tensor.requires_grad = grads is not None and array.gradient
        tensors.append(tensor)
    outputs = as_tuple(call.ours(*tensors))
    wanted = [t for t in tensors if t is not None and t.requires_grad]
    if grads is not None:
        pairs = [(y, g) for y, g in zip(outputs, grads, strict=True) if g is not None]
        for i, (y, g) in enumerate(pairs):
            y.backward(rv.from_numpy(g), retain_graph=i + 1 < len(pairs))
    gradients = [np.zeros(t.shape) if t.grad is None else host(t.grad) for t in wanted]
    return [host(y) for y in outputs], gradients


def lay(value: np.ndarray, layout: str) -> np.ndarray:
    """A copy of these numbers in another physical layout."""
    if layout.startswith("expanded"):
        axis = int(layout.split()[-1])
        strides = [0 if i == axis else s for i, s in enumerate(value.strides)]
        return np.lib.stride_tricks.as_strided(value.copy(), value.shape, strides)
    return LAYOUTS[layout](value) if layout in LAYOUTS else value.copy()


def refuses(call: Call, values: Sequence[Any]) -> bool:
    """Whether ours raises one of our errors."""
    try:
        run_ours(call, values, None)
    except (ValueError, TypeError, IndexError) as error:
        return str(error).startswith("[")
    return False


def rounded(array: Array | None, dtype: str) -> np.ndarray | None:
    """The numbers that ours gets."""
    if array is None:
        return None
    return array.values.astype(dtype) if array.values.dtype.kind == "f" else array.values


def wide(value: Any) -> Any:
    """The same numbers for PyTorch."""
    return value.astype(np.float64) if value is not None and value.dtype.kind == "f" else value


def bounds_of(
    call: Call,
    results: Sequence[np.ndarray],
    absolute: Sequence[np.ndarray] | None,
    ones: Sequence[np.ndarray] | None,
    dtype: str,
    gradients: bool,
) -> list[Any]:
    """The largest error of each result."""
    eps = float(np.finfo(dtype).eps) + float(np.finfo("float64").eps)
    n = call.grad_n if gradients and call.grad_n is not None else call.n
    if absolute is not None and ones is not None:
        if n is None:
            n = max((float(np.max(np.abs(o), initial=1.0)) for o in ones), default=1.0)
        return [4 * n * eps * np.abs(a) for a in absolute]
    scale = call.grad_scale if gradients else call.scale
    largest = [np.max(np.abs(r), initial=0.0) if r.dtype.kind == "f" else 0.0 for r in results]
    return [4 * (n or 1) * eps * max(size, scale or 0.0) for size in largest]


def check(call: Call, draw: Draw) -> bool:
    """Raises AssertionError where ours and PyTorch disagree; tells whether they computed."""
    for dtype in call.dtypes:
        values = [rounded(a, dtype) for a in call.arrays]
        theirs_in = [wide(v) for v in values]
        try:
            expected, _ = run_theirs(call, theirs_in, None)
        except (RuntimeError, ValueError, IndexError, TypeError) as refusal:
            refused = f"PyTorch refuses it: {str(refusal).splitlines()[0]}"
        else:
            refused = ""
        if refused:
            assert refuses(call, values), f"{refused} - ours does not"
            return False
        wanted = [a for a in call.arrays if a is not None and a.gradient]
        grads: list[np.ndarray | None] | None = None
        smooth = [y.dtype.kind == "f" and i < call.outputs for i, y in enumerate(expected)]
        if call.gradient and wanted and any(smooth):
            grads = [
                np.asarray(draw.rng.standard_normal(y.shape), dtype) if floating else None
                for y, floating in zip(expected, smooth, strict=True)
            ]
        sent = [wide(g) for g in grads] if grads else None
        expected, expected_grads = run_theirs(call, theirs_in, sent)
        outputs, gradients = run_ours(call, values, grads)
        assert len(outputs) == len(expected), f"{len(outputs)} outputs, not {len(expected)}"

        absolute = ones = absolute_grads = ones_grads = None
        if call.multilinear:
            absolute, absolute_grads = run_theirs(
                call, [_map(np.abs, v) for v in theirs_in], sent and [_map(np.abs, g) for g in sent]
            )
            ones, ones_grads = run_theirs(
                call,
                [_map(np.ones_like, v) for v in theirs_in],
                sent and [_map(np.ones_like, g) for g in sent],
            )
        limits = bounds_of(call, expected, absolute, ones, dtype, False)
        for i, (y, e, limit) in enumerate(zip(outputs, expected, limits, strict=True)):
            if e.dtype.kind == "f":
                assert y.dtype == dtype, f"output {i}: dtype {y.dtype}, not {dtype}"
            else:
                assert y.dtype == e.dtype, f"output {i}: dtype {y.dtype}, PyTorch {e.dtype}"
            assert_close(y, e, 0.0 if call.exact else limit, f"{dtype}, output {i}")
        if grads is None:
            continue
        limits = bounds_of(call, expected_grads, absolute_grads, ones_grads, dtype, True)
        for i, (y, e, limit) in enumerate(zip(gradients, expected_grads, limits, strict=True)):
            assert_close(y, e, limit, f"{dtype}, gradient {i}")
    return True


def _map(function: Callable[[np.ndarray], np.ndarray], value: Any) -> Any:
    return function(value) if value is not None and value.dtype.kind == "f" else value


def parity(cases: int = 300) -> Callable[[Callable[[Draw], Call]], Callable[[], None]]:
    """Makes a test of a function that draws a call."""

    def decorate(make: Callable[[Draw], Call]) -> Callable[[], None]:
        name = make.__name__.removeprefix("test_")

        def test() -> None:
            only = os.environ.get("RANVIER_PARITY")
            failures, ran = [], 0
            for number in range(cases) if only is None else [int(only)]:
                draw = Draw(name, number)
                try:
                    call = make(draw)
                except Skip:
                    continue
                try:
                    ran += check(call, draw)
                except Exception as error:
                    if only is not None:
                        raise
                    failures.append(f"{name} number {number}: {call}\n    {_line(error)}")
            shown = "\n".join(failures[:10])
            assert not failures, f"{len(failures)} calls differ from PyTorch, {ran} agree\n{shown}"
            assert only is not None or ran >= cases // 2, f"only {ran} draws were computed"

        test.__name__ = make.__name__
        test.__doc__ = make.__doc__
        test.__module__ = make.__module__
        return pytest.mark.external(pytest.mark.filterwarnings("ignore::UserWarning")(test))

    return decorate


def _line(error: Exception) -> str:
    text = str(error).split("\n", 1)[0]
    return text if isinstance(error, AssertionError) else f"{type(error).__name__}: {text}"
