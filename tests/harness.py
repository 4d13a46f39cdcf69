"""Holds an op against its NumPy reference: a test file is a list of cases, the harness is the rest.

The test file of a new op names its reference and says what to feed it::

    import ranvier.functional as F
    from ranvier.reference import conv2d as ref
    from tests.harness import Case, N, OpTests, Raises, normal


    def case(x, weight, **options):
        return Case(F.conv2d, ref.conv2d, x, weight, options=options, multilinear=True)


    class TestConv2d(OpTests):
        cases = [
            case(normal(N, 3, 8, 8), normal(4, 3, 3, 3)),
            case(normal(N, 4, 9, 7), normal(6, 2, 3, 2), stride=2, padding=1, groups=2),
        ]
        errors = [
            Raises(ValueError, r"\\[conv2d\\] expected 4 .* got 3", F.conv2d, normal(3, 8, 8), ...),
        ]

Every case is then checked, on every device and in each of its dtypes, for

* **value**: every element within an error bound of the reference in float64;
* **gradient**: every element within a bound of the reference's backward, and <v, dL/dx> equal to
  the central difference of the reference along a random direction v;
* **reference**: its backward against its own central difference, so that both are sound;
* **inputs** unmodified; **layouts**: transposed, strided, reversed, misaligned and channels-last
  inputs and upstream gradients;
* **bits**: the same ones on a second run and for 1 and N threads, or for emulated threads in any
  order. Give one case that is large enough to be split among threads;
* **capture**: a replayed step gives the bits of an eager one, on inputs it was not recorded with;
* **batch**: 0 samples and 1 sample. ``N`` in a shape marks the batch axis;
* **meta**: the shape and dtype of the result without computing it;

and each of the ``errors`` for its exception and text, on every device and on "meta".

**Error bounds.** A result of n roundings is trusted to k * n * eps * magnitude, k <= 4:

* an elementwise op (``n=1``) to a few roundings of each value itself;
* an op that is linear in each of its arrays (``multilinear=True``: sum, matmul, convolution) to n
  roundings of the sum of the terms' absolute values, which is the reference on absolute inputs; n
  is counted by the reference on ones. This is the classical bound of an inner product in any order
  (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1);
* any other op with a given ``n`` to n roundings of its largest value;
* gradients likewise, with ``grad_n``; elementwise ops by the largest gradient, because 1 - y^2 and
  its like cancel;
* or whatever ``magnitude`` and ``grad_magnitude`` compute: a bound that the op's header derives. An
  op whose backward takes differences of large terms (a saturated softmax) needs one.

**Inputs** avoid the op's cliffs: ``nonzero`` for ReLU and its kin, ``distinct`` for pooling and
extremes. A gradient check whose central difference is not smooth fails and says so.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from tests.bounds import (
    EPS64,
    as_tuple,
    assert_close,
    backward_of,
    gradient_bounds,
    value_bounds,
    wide,
)
from tests.inputs import (
    LAYOUTS,
    Batch,
    Input,
    N,
    booleans,
    distinct,
    fixed,
    integers,
    nonzero,
    normal,
    probabilities,
    uniform,
)

__all__ = [
    "Case",
    "Input",
    "N",
    "OpTests",
    "Raises",
    "booleans",
    "check",
    "devices",
    "distinct",
    "fixed",
    "host",
    "integers",
    "nonzero",
    "normal",
    "precision",
    "probabilities",
    "threads",
    "uniform",
]

STEP = 2.0**-10  # of the central differences: truncation and rounding errors are both near 1e-12


# ---------------------------------------------------------------------------------------------
# Cases
# ---------------------------------------------------------------------------------------------


@dataclass(init=False)
class Case:
    """One way to call an op, and how exact the result must be.

    Args:
        fn: the op.
        reference: its reference; ``<name>_backward`` beside it is the gradient, if there is one.
        *args: ``Input``s, and anything else as it is.
        options: keyword arguments of both.
        backward: the reference's gradient, where its name does not tell.
        n: number of roundings of one output; see the module.
        grad_n: number of roundings of one gradient, the same as ``n`` unless given.
        k: factor of the error bound, at most 4.
        multilinear: the op is linear in each of its arrays.
        magnitude: called like the reference: what the error of each output is relative to.
        grad_magnitude: called like the backward: the same for each gradient.
        dtypes: dtypes under test.
        gradient: whether gradients are checked; by default, whether there is a backward.
        capture: whether a captured step can hold the op; False where the result's shape depends on
            values, which the step must then refuse.
        name: shown in the test's id.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        reference: Callable[..., Any],
        *args: Any,
        options: dict[str, Any] | None = None,
        backward: Callable[..., Any] | None = None,
        n: int | None = None,
        grad_n: int | None = None,
        k: float = 4.0,
        multilinear: bool = False,
        magnitude: Callable[..., Any] | None = None,
        grad_magnitude: Callable[..., Any] | None = None,
        dtypes: Sequence[str] = ("float32", "float64"),
        gradient: bool | None = None,
        capture: bool = True,
        name: str | None = None,
    ) -> None:
        assert k <= 4, "a bound beyond 4 n eps must be derived: give n and magnitude"
        self.fn, self.reference, self.args, self.options = fn, reference, args, options or {}
        if backward is None and hasattr(reference, "__module__"):
            room = sys.modules[reference.__module__]
            backward = getattr(room, f"{getattr(reference, '__name__', '')}_backward", None)
        self.backward, self.n, self.grad_n, self.k = backward, n, grad_n, k
        self.multilinear, self.dtypes, self.capture = multilinear, tuple(dtypes), capture
        self.magnitude, self.grad_magnitude = magnitude, grad_magnitude
        has_input = any(isinstance(a, Input) and a.gradient for a in args)
        floating = any(d.startswith("float") for d in self.dtypes)
        self.gradient = (
            backward is not None and has_input and floating if gradient is None else gradient
        )
        shown = [*map(repr, args), *(f"{key}={value}" for key, value in self.options.items())]
        self.name = name or f"{getattr(fn, '__name__', 'op')}({', '.join(shown)})"

    def __repr__(self) -> str:
        return self.name

    @property
    def has_batch(self) -> bool:
        """Whether some input has a batch axis."""
        return any(isinstance(d, Batch) for a in self.args if isinstance(a, Input) for d in a.shape)

    def with_batch(self, size: int) -> Case:
        """The same case for another batch size."""
        other = object.__new__(Case)
        other.__dict__.update(self.__dict__)
        other.args = tuple(a.with_batch(size) if isinstance(a, Input) else a for a in self.args)
        return other

    def arrays(self, dtype: str, draw: int = 0) -> list[Any]:
        """The arguments as NumPy arrays; another ``draw`` gives other numbers."""
        seed = zlib.crc32(f"{self.name} {draw}".encode())
        return [
            a.numbers(seed + i, dtype) if isinstance(a, Input) else a
            for i, a in enumerate(self.args)
        ]

    def differentiable(self) -> list[int]:
        """Positions of the arguments whose gradient is checked."""
        return [i for i, a in enumerate(self.args) if isinstance(a, Input) and a.gradient]


@dataclass
class Raises:
    """A call that an op must refuse.

    Args:
        exception: its type.
        pattern: regular expression found in its text.
        fn: the op.
        *args: ``Input``s, and anything else as it is.
        options: keyword arguments.
        meta: whether the shapes and dtypes alone tell, so that "meta" refuses too; False for an
            error that only the values show.
    """

    exception: type[Exception]
    pattern: str
    fn: Callable[..., Any]
    args: tuple[Any, ...] = field(default=())
    options: dict[str, Any] = field(default_factory=dict)
    meta: bool = True

    def __init__(
        self,
        exception: type[Exception],
        pattern: str,
        fn: Callable[..., Any],
        *args: Any,
        options: dict[str, Any] | None = None,
        meta: bool = True,
    ) -> None:
        self.exception, self.pattern, self.fn, self.args = exception, pattern, fn, args
        self.options, self.meta = options or {}, meta

    def __repr__(self) -> str:
        shown = [*map(repr, self.args), *(f"{k}={v}" for k, v in self.options.items())]
        return f"{getattr(self.fn, '__name__', 'op')}({', '.join(shown)})"


# ---------------------------------------------------------------------------------------------
# Running an op and its reference
# ---------------------------------------------------------------------------------------------


def devices() -> list[str]:
    """Devices that kernels are tested on: of this machine, or those RANVIER_TEST_DEVICES names."""
    named = os.environ.get("RANVIER_TEST_DEVICES")
    if named:
        return named.split(",")
    return ["cpu", *(["cuda"] if rv.cuda.is_available() else [])]


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Runs kernels on ``count`` threads for a while."""
    before = rv.num_threads()
    rv.set_num_threads(count)
    try:
        yield
    finally:
        rv.set_num_threads(before)


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Runs products and convolutions at a precision for a while."""
    before = rv.get_matmul_precision()
    rv.set_matmul_precision(name)
    try:
        yield
    finally:
        rv.set_matmul_precision(before)


def host(tensor: rv.Tensor) -> np.ndarray:
    """A tensor's values in NumPy, from any device."""
    assert tensor is not None, "no gradient arrived"
    return (tensor if tensor.device == "cpu" else tensor.to("cpu")).numpy()


def place(array: np.ndarray, device: str) -> rv.Tensor:
    """A tensor of these numbers on a device; on the cpu over the same memory, in its layout."""
    if device == "meta":
        return rv.empty(array.shape, dtype=array.dtype, device="meta")
    tensor = rv.from_numpy(array)
    return tensor if device == "cpu" else tensor.to(device)


def tensors(case: Case, arrays: Sequence[Any], device: str, gradient: bool) -> list[Any]:
    """The arguments as leaf tensors over the same memory, or as they are."""
    result = []
    for position, array in enumerate(arrays):
        if isinstance(array, np.ndarray):
            tensor = place(array, device)
            tensor.requires_grad = gradient and position in case.differentiable()
            result.append(tensor)
        else:
            result.append(array)
    return result


def expected_values(case: Case, arrays: Sequence[Any]) -> tuple[np.ndarray, ...]:
    """What the reference makes of the arguments, in float64."""
    results = as_tuple(case.reference(*map(wide, arrays), **case.options))
    return tuple(np.asarray(r) for r in results)


def upstream(case: Case, outputs: Sequence[np.ndarray], dtype: str) -> list[np.ndarray | None]:
    """A random gradient for each floating-point output, None for the others."""
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    return [
        rng.standard_normal(y.shape).astype(dtype) if y.dtype.kind == "f" else None for y in outputs
    ]


def run(
    case: Case, arrays: Sequence[Any], device: str, grads: Sequence[np.ndarray | None] | None = None
) -> tuple[tuple[rv.Tensor, ...], list[rv.Tensor]]:
    """Outputs of the op and, with upstream gradients, the gradients of its arguments."""
    arguments = tensors(case, arrays, device, gradient=grads is not None)
    outputs = as_tuple(case.fn(*arguments, **case.options))
    if grads is None:
        return outputs, []
    pairs = [(y, g) for y, g in zip(outputs, grads, strict=True) if g is not None]
    for i, (y, g) in enumerate(pairs):
        y.backward(place(g, device), retain_graph=i + 1 < len(pairs))
    gradients = {i: arguments[i].grad for i in case.differentiable()}
    for position, gradient in gradients.items():
        assert gradient is not None, f"{case}: no gradient arrived at argument {position}"
    return outputs, list(gradients.values())


def expected_gradients(
    case: Case, arrays: Sequence[Any], grads: Sequence[np.ndarray | None]
) -> list[np.ndarray]:
    """What the reference's backward gives for the checked arguments, in float64."""
    return backward_of(case, case.backward, [wide(a) for a in arrays], grads)


# ---------------------------------------------------------------------------------------------
# Checks
# ---------------------------------------------------------------------------------------------


def central_difference(
    case: Case, arrays: Sequence[Any], grads: Sequence[np.ndarray | None]
) -> tuple[float, float, list[np.ndarray]]:
    """The slope of <g, f> along a random direction, its own uncertainty, and the direction.

    Five-point rule: (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12 h, with an error of order h^4. The
    uncertainty is what halving the number of points' distance changes, plus rounding.
    """
    positions = case.differentiable()
    rng = np.random.default_rng(len(case.name))
    directions = [rng.uniform(-1.0, 1.0, arrays[i].shape) for i in positions]
    given = [wide(a) for a in arrays]
    size = 0.0

    def along(t: float) -> float:
        nonlocal size
        moved = list(given)
        for i, v in zip(positions, directions, strict=True):
            moved[i] = given[i] + t * v
        outputs = as_tuple(case.reference(*moved, **case.options))
        terms = [
            wide(g) * np.asarray(y) for g, y in zip(grads, outputs, strict=True) if g is not None
        ]
        size = max(size, sum(float(np.abs(term).sum()) for term in terms))
        return sum(float(term.sum()) for term in terms)

    def slope(h: float) -> float:
        return (8 * (along(h) - along(-h)) - (along(2 * h) - along(-2 * h))) / (12 * h)

    fine, coarse = slope(STEP), slope(2 * STEP)
    uncertainty = abs(fine - coarse) + 32 * EPS64 * size / STEP
    smooth = 1e-7 * (abs(fine) + size)
    assert uncertainty <= smooth, f"{case}: its inputs sit at a cliff of the op, choose others"
    return fine, uncertainty, directions


def check_reference(case: Case) -> None:
    """The reference's backward agrees with its own central difference."""
    arrays = case.arrays("float64")
    grads = upstream(case, expected_values(case, arrays), "float64")
    slope, uncertainty, directions = central_difference(case, arrays, grads)
    gradients = expected_gradients(case, arrays, grads)
    products = [g * v for g, v in zip(gradients, directions, strict=True)]
    total = sum(float(p.sum()) for p in products)
    rounding = 1e3 * EPS64 * sum(float(np.abs(p).sum()) for p in products)
    assert abs(total - slope) <= uncertainty + rounding, (
        f"{case}: the reference's backward gives <v, gradient> = {total}, its central difference "
        f"{slope} +- {uncertainty + rounding:.2g}"
    )


def check_value(case: Case, dtype: str, device: str = "cpu") -> None:
    """Values, shapes and dtypes of the outputs agree with the reference."""
    arrays = case.arrays(dtype)
    expected = expected_values(case, arrays)
    outputs, _ = run(case, arrays, device)
    compare_values(case, arrays, expected, outputs, dtype, device)


def compare_values(
    case: Case,
    arrays: Sequence[Any],
    expected: Sequence[np.ndarray],
    outputs: Sequence[rv.Tensor],
    dtype: str,
    where: str,
) -> None:
    """Outputs against the reference's, each within its bound."""
    assert len(outputs) == len(expected), f"{case}: {len(outputs)} outputs, not {len(expected)}"
    bounds = value_bounds(case, arrays, expected, dtype)
    for i, (y, e, bound) in enumerate(zip(outputs, expected, bounds, strict=True)):
        what = f"{case}, output {i}, {dtype}, {where}"
        wanted = dtype if e.dtype.kind == "f" and dtype.startswith("float") else str(e.dtype)
        if e.dtype.kind != "f" or dtype.startswith("float"):
            assert host(y).dtype == wanted, f"{what}: dtype {y.dtype}, not {wanted}"
        assert_close(host(y), e, bound, what)


def check_gradient(case: Case, dtype: str, device: str = "cpu") -> None:
    """Gradients agree with the reference's backward and with its central difference."""
    arrays = case.arrays(dtype)
    grads = upstream(case, expected_values(case, arrays), dtype)
    _, gradients = run(case, arrays, device, grads)
    bounds = compare_gradients(case, arrays, grads, gradients, dtype, device)
    slope, uncertainty, directions = central_difference(case, arrays, grads)
    total = sum(
        float((host(g).astype(np.float64) * v).sum())
        for g, v in zip(gradients, directions, strict=True)
    )
    bound = uncertainty + sum(
        float((b * np.abs(v)).sum()) for b, v in zip(bounds, directions, strict=True)
    )
    assert abs(total - slope) <= bound, (
        f"{case}, {dtype}, {device}: <v, gradient> = {total}, central difference {slope} +- {bound}"
    )


def compare_gradients(
    case: Case,
    arrays: Sequence[Any],
    grads: Sequence[np.ndarray | None],
    gradients: Sequence[rv.Tensor],
    dtype: str,
    where: str,
    typical: Sequence[np.ndarray | None] | None = None,
) -> list[np.ndarray]:
    """Gradients against the reference's backward, each within its bound; returns the bounds.

    With ``typical`` upstream gradients the bounds are at least theirs, because the given ones may
    cancel: ones sent into a softmax come back as zeros, up to the rounding of their terms.
    """
    expected = expected_gradients(case, arrays, grads)
    bounds = gradient_bounds(case, arrays, grads, expected, dtype)
    if typical is not None:
        usual = expected_gradients(case, arrays, typical)
        others = gradient_bounds(case, arrays, typical, usual, dtype)
        bounds = [np.maximum(a, b) for a, b in zip(bounds, others, strict=True)]
    for position, g, e, bound in zip(
        case.differentiable(), gradients, expected, bounds, strict=True
    ):
        what = f"{case}, gradient of argument {position}, {dtype}, {where}"
        assert host(g).dtype == arrays[position].dtype, f"{what}: dtype {g.dtype}"
        assert_close(host(g), e, bound, what)
    return bounds


def check_inputs_unmodified(case: Case, device: str = "cpu") -> None:
    """Neither forward nor backward writes into an argument or an upstream gradient."""
    dtype = case.dtypes[0]
    arrays = case.arrays(dtype)
    grads = upstream(case, expected_values(case, arrays), dtype) if case.gradient else None
    watched = [a for a in [*arrays, *(grads or [])] if isinstance(a, np.ndarray)]
    before = [a.tobytes() for a in watched]
    run(case, arrays, device, grads)
    for a, bits in zip(watched, before, strict=True):
        assert a.tobytes() == bits, f"{case}: an input of shape {a.shape} was changed"


def check_layouts(case: Case, device: str = "cpu") -> None:
    """The same values in other physical layouts give the same results, within the same bounds."""
    dtype = case.dtypes[0]
    arrays = case.arrays(dtype)
    expected = expected_values(case, arrays)
    grads = upstream(case, expected, dtype) if case.gradient else None
    for layout, lay in LAYOUTS.items():
        if layout == "misaligned" and device != "cpu":
            continue  # what arrives on a device is aligned, whatever it was
        laid = [lay(a) if isinstance(a, np.ndarray) else a for a in arrays]
        laid_grads = [None if g is None else lay(g) for g in grads] if grads else None
        outputs, gradients = run(case, laid, device, laid_grads)
        compare_values(case, arrays, expected, outputs, dtype, f"{device}, {layout}")
        if grads:
            compare_gradients(case, arrays, grads, gradients, dtype, f"{device}, {layout}")
    if grads:  # one number for all outputs, without memory of its own: what sum() sends back
        one = np.ones(1, dtype)
        ones = [
            None if g is None else np.lib.stride_tricks.as_strided(one, g.shape, [0] * g.ndim)
            for g in grads
        ]
        _, gradients = run(case, arrays, device, ones)
        compare_gradients(case, arrays, ones, gradients, dtype, f"{device}, ones", grads)


def check_bits(case: Case, device: str = "cpu") -> None:
    """A second run gives the same bits, and so does any number of threads, or any order of them."""
    dtype = case.dtypes[0]
    arrays = case.arrays(dtype)
    grads = upstream(case, expected_values(case, arrays), dtype) if case.gradient else None

    def bits() -> list[bytes]:
        outputs, gradients = run(case, arrays, device, grads)
        return [host(t).tobytes() for t in (*outputs, *gradients)]

    first = bits()
    if device.startswith("cuda") and rv.cuda.is_emulated():
        for order in ("reverse", 1, 2):
            with rv.cuda.emulation_order(order):
                assert bits() == first, f"{case}: threads in order {order} gave other bits"
        return
    assert bits() == first, f"{case}: a second run gave other bits"
    if device.startswith("cuda"):
        return
    for count in (1, 2, 3):
        with threads(count):
            assert bits() == first, f"{case}: {count} threads gave other bits"


def check_capture(case: Case, device: str = "cpu") -> None:
    """Calls of a captured step, eager, recorded and replayed, give eager's bits on new numbers."""
    dtype = case.dtypes[0]
    arrays = case.arrays(dtype)
    grads = upstream(case, expected_values(case, arrays), dtype) if case.gradient else None
    arguments = tensors(case, arrays, device, gradient=case.gradient)
    sent = [None if g is None else place(g, device) for g in grads or []]

    @rv.capture
    def step() -> tuple[rv.Tensor, ...]:
        outputs = as_tuple(case.fn(*arguments, **case.options))
        pairs = [(y, g) for y, g in zip(outputs, sent, strict=False) if g is not None]
        for i, (y, g) in enumerate(pairs):
            y.backward(g, retain_graph=i + 1 < len(pairs))
        return (*outputs, *(arguments[i].grad for i in case.differentiable() if pairs))

    if not case.capture:
        step()
        with pytest.raises(rv.CaptureError):
            step()
        return
    for draw in range(4):
        fresh = case.arrays(dtype, draw)
        for argument, array in zip(arguments, fresh, strict=True):
            if isinstance(argument, rv.Tensor):
                with rv.no_grad():
                    argument.copy_(rv.from_numpy(array))
                argument.grad = None
        captured = [host(t).tobytes() for t in step()]
        outputs, gradients = run(case, fresh, device, grads)
        eager = [host(t).tobytes() for t in (*outputs, *gradients)]
        assert captured == eager, f"{case}: call {draw + 1} of the captured step gave other bits"


def check_batch(case: Case, size: int, device: str = "cpu") -> None:
    """Batches of 0 and 1 agree with the reference: of 0, empty outputs and zero gradients."""
    case, dtype = case.with_batch(size), case.dtypes[0]
    arrays = case.arrays(dtype)
    expected = expected_values(case, arrays)
    grads = upstream(case, expected, dtype) if case.gradient else None
    outputs, gradients = run(case, arrays, device, grads)
    compare_values(case, arrays, expected, outputs, dtype, f"{device}, batch of {size}")
    if grads:
        compare_gradients(case, arrays, grads, gradients, dtype, f"{device}, batch of {size}")


def check_meta(case: Case, dtype: str) -> None:
    """The device "meta" tells the shapes and dtypes that the cpu then gives."""
    arrays = case.arrays(dtype)
    outputs, _ = run(case, arrays, "cpu")
    told, _ = run(case, arrays, "meta")
    for y, m in zip(outputs, told, strict=True):
        assert str(m.device) == "meta", f"{case}: the result left the device meta"
        assert (m.shape, m.dtype) == (y.shape, y.dtype), (
            f"{case}, {dtype}: meta tells {m.shape} {m.dtype}, the cpu gives {y.shape} {y.dtype}"
        )


def check_error(error: Raises, device: str) -> None:
    """The call is refused with the stated exception and text."""
    arguments = [
        place(a.numbers(i, "float32"), device) if isinstance(a, Input) else a
        for i, a in enumerate(error.args)
    ]
    options = {
        key: value.to(device) if isinstance(value, rv.Tensor) else value
        for key, value in error.options.items()
    }
    with pytest.raises(error.exception) as caught:
        error.fn(*arguments, **options)
    text = str(caught.value)
    assert re.search(error.pattern, text), f"{error}: {text!r} does not match {error.pattern!r}"


def check(case: Case, device: str = "cpu") -> None:
    """All checks of one case but capture and meta: for property tests, which draw many cases."""
    if case.gradient:
        check_reference(case)
    for dtype in case.dtypes:
        check_value(case, dtype, device)
        if case.gradient:
            check_gradient(case, dtype, device)
    check_inputs_unmodified(case, device)
    check_layouts(case, device)
    check_bits(case, device)


@pytest.mark.kernels
class OpTests:
    """The tests of an op: a subclass named Test... gives ``cases`` and ``errors``."""

    cases: Sequence[Case] = ()
    errors: Sequence[Raises] = ()

    def __init_subclass__(cls) -> None:
        # A check that no case needs is no test, rather than a skipped one.
        if not any(case.gradient for case in cls.cases):
            cls.test_gradient = cls.test_reference = None
        if not any(case.has_batch for case in cls.cases):
            cls.test_batch = None
        if not cls.errors:
            cls.test_error = None

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Parametrizes each check by the cases that it concerns, dtypes and devices."""
        test, names = metafunc.function.__name__, metafunc.fixturenames
        cases = list(self.cases)
        if test in ("test_gradient", "test_reference"):
            cases = [case for case in cases if case.gradient]
        if test == "test_batch":
            cases = [case for case in cases if case.has_batch]
        if "error" in names:
            pairs = [
                (e, d) for e in self.errors for d in (*devices(), *(["meta"] if e.meta else []))
            ]
            metafunc.parametrize(("error", "device"), pairs, ids=_ids(pairs))
            return
        if "device" in names:
            metafunc.parametrize("device", devices())
        if "size" in names:
            metafunc.parametrize("size", [0, 1])
        if "dtype" in names:
            grad = test == "test_gradient"
            typed = [(c, d) for c in cases for d in c.dtypes if not grad or d.startswith("float")]
            metafunc.parametrize(("case", "dtype"), typed, ids=_ids(typed))
        elif "case" in names:
            metafunc.parametrize("case", cases, ids=_ids([(c,) for c in cases]))

    def test_value(self, case: Case, dtype: str, device: str) -> None:
        check_value(case, dtype, device)

    def test_gradient(self, case: Case, dtype: str, device: str) -> None:
        check_gradient(case, dtype, device)

    def test_reference(self, case: Case) -> None:
        check_reference(case)

    def test_inputs_unmodified(self, case: Case, device: str) -> None:
        check_inputs_unmodified(case, device)

    def test_layouts(self, case: Case, device: str) -> None:
        check_layouts(case, device)

    def test_bits(self, case: Case, device: str) -> None:
        check_bits(case, device)

    def test_capture(self, case: Case, device: str) -> None:
        check_capture(case, device)

    def test_batch(self, case: Case, size: int, device: str) -> None:
        check_batch(case, size, device)

    def test_meta(self, case: Case, dtype: str) -> None:
        check_meta(case, dtype)

    def test_error(self, error: Raises, device: str) -> None:
        check_error(error, device)


def _ids(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    return ["-".join(map(str, row)) for row in rows]
