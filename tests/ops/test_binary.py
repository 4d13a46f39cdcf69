"""Elementwise arithmetic on two arrays: broadcasting, scalars, integers, special values."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import binary as ref
from tests.harness import (
    Case,
    Input,
    N,
    OpTests,
    Raises,
    check,
    distinct,
    fixed,
    host,
    integers,
    nonzero,
    normal,
    uniform,
)

pytestmark = pytest.mark.kernels


def case(name: str, a: object, b: object, **settings: object) -> Case:
    """One operation; its gradients sum over at most the elements that broadcasting repeats."""
    sizes = [x.shape for x in (a, b) if isinstance(x, Input)]
    return Case(
        getattr(F, name),
        partial(ref.binary, name=name),
        a,
        b,
        backward=partial(ref.binary_backward, name=name),
        grad_n=int(np.prod(np.broadcast_shapes(*sizes))) if sizes[0] != sizes[-1] else 4,
        **settings,
    )


# Operands on which each operation is smooth and well conditioned.
OPERANDS = {
    "add": (normal, normal),
    "subtract": (normal, normal),
    "multiply": (normal, normal),
    "divide": (normal, nonzero),
    "power": (partial(uniform, 0.3, 2.0), normal),
    "log_base": (partial(uniform, 1.5, 9.0), partial(uniform, 1.5, 3.0)),
    "maximum": (distinct, partial(distinct, shift=0.0)),
    "minimum": (distinct, partial(distinct, shift=0.0)),
}
SHAPES = [
    ((N, 4), (N, 4)),
    ((), (3, 2)),
    ((3, 1, 5), (4, 1)),
    ((N, 3, 5, 6), (3, 1, 1)),
    ((N, 1), (1, 7)),
]
LARGE = (3, 67, 257)  # large enough to be split among threads, and no multiple of a vector


def operands(name: str, a: tuple[int, ...], b: tuple[int, ...]) -> Case:
    first, second = OPERANDS[name]
    return case(name, first(*a), second(*b))


class TestBinary(OpTests):
    cases = [
        *(operands(name, a, b) for name in OPERANDS for a, b in SHAPES),
        *(operands(name, LARGE, LARGE) for name in ("add", "divide", "power")),
        operands("multiply", LARGE, LARGE[-1:]),
        # factors of channels, of rows and of columns; one on either side
        *(
            operands("multiply", *shapes)
            for shapes in [
                ((N, 6, 5, 7), (6, 1, 1)),
                ((6, 1, 1), (N, 6, 5, 7)),
                ((N, 70), (70,)),
                ((40, 37), (40, 1)),
                ((9, 8, 33, 37), (8, 1, 1)),
                ((5, 1, 4), (6, 1)),
            ]
        ),
        *(
            operands(name, *shapes)
            for name in ("subtract", "maximum", "divide")
            for shapes in [((4, 67), (4, 1)), ((4, 1), (4, 67))]
        ),
        *(case(name, OPERANDS[name][0](N, 5), 1.5) for name in OPERANDS),
        *(case(name, 1.5, OPERANDS[name][1](N, 5)) for name in OPERANDS),
        *(
            case(name, integers(-9, 9, N, 5), integers(1, 9, N, 5), dtypes=("int64",))
            for name in ("add", "subtract", "multiply", "maximum", "minimum")
        ),
        case("power", integers(-9, 9, N, 5), integers(0, 9, N, 5), dtypes=("int64",)),
        *(case("log_base", uniform(1.5, 9.0, N, 5), base) for base in (2, 10, 0.3)),
        *(
            Case(F.root, ref.root, draw(N, 5), degree, k=4.0)
            for degree, draw in [
                (1, nonzero),
                (2, partial(uniform, 0.2, 9.0)),
                (3, nonzero),
                (5, nonzero),
                (6, partial(uniform, 0.2, 9.0)),
                (7, partial(uniform, 1e3, 1e4)),
            ]
        ),
    ]
    errors = [
        Raises(ValueError, r"\[add\] expected .*\(2, 3\).*\(4,\)", F.add, normal(2, 3), normal(4)),
        Raises(TypeError, r"\[multiply\] expected", F.multiply, normal(3), "text"),
        Raises(ValueError, r"\[power\] expected no negative power of integers, got exponent -1",
               F.power, integers(1, 5, 3), -1, meta=False),
        Raises(ValueError, r"\[power\] expected no negative power of integers, got exponent -2",
               F.power, 2, fixed([3, -2]), meta=False),
        Raises(ValueError, r"\[log_base\] expected a base above 0 other than 1, got 1",
               F.log_base, normal(3), 1),
        Raises(ValueError, r"\[root\] expected a degree of at least 1, got 0", F.root,
               normal(3), 0),
        Raises(TypeError, r"\[root\] expected a whole number as degree, got 0.5", F.root, normal(3),
               0.5),
    ]  # fmt: skip


@st.composite
def broadcastable(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes that broadcast with each other."""
    full = draw(st.lists(st.integers(1, 5), min_size=0, max_size=4))
    shapes = []
    for _ in range(2):
        kept = full[draw(st.integers(0, len(full))) :]
        shapes.append(tuple(1 if draw(st.booleans()) else size for size in kept))
    return shapes[0], shapes[1]


@given(st.sampled_from(sorted(OPERANDS)), broadcastable())
def test_any_broadcast(name, shapes):
    check(operands(name, *shapes))


SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-40, 3e38], np.float32)


@pytest.mark.parametrize("name", sorted(set(OPERANDS) - {"log_base"}))
def test_special_values_are_numpys(name):
    a, b = np.meshgrid(SPECIAL, SPECIAL)
    with np.errstate(all="ignore"):
        expected = ref.binary(a, b, name=name)
    y = host(getattr(F, name)(rv.tensor(a), rv.tensor(b)))
    np.testing.assert_allclose(y, expected, rtol=1e-6)


def test_power_has_a_gradient_at_its_corners():
    a = rv.tensor([0.0, 0.0, 0.0, 2.0], requires_grad=True)
    b = rv.tensor([0.0, 1.0, 2.0, 0.0], requires_grad=True)
    F.power(a, b).backward(rv.ones(4))
    assert a.grad.tolist() == [0.0, 1.0, 0.0, 0.0]
    np.testing.assert_allclose(b.grad.numpy(), [0.0, 0.0, 0.0, np.log(2)], rtol=1e-6)


@pytest.mark.parametrize("exponent", [0.5, -0.5])
def test_roots_as_powers(exponent):
    """Alone and beside other exponents: a lane has the same bits beside any neighbours."""
    x = np.random.default_rng(0).lognormal(0, 20, 1003).astype(np.float32)
    x[:9] = [0.0, -0.0, np.inf, -np.inf, np.nan, -1.0, 1.0, 1e-45, 3e38]
    alone = host(rv.tensor(x) ** exponent)
    mixed = np.where(np.arange(x.size) % 3 == 0, 1.7, exponent).astype(np.float32)
    beside = host(rv.tensor(x) ** rv.tensor(mixed))
    with np.errstate(all="ignore"):
        expected = np.array([math.pow(v, exponent) if v == v and v != 0 and (v > 0 or v == -np.inf)
                             else np.power(np.float64(abs(v)) if v == 0 else v, exponent)
                             for v in x.astype(float)])  # fmt: skip
    np.testing.assert_allclose(alone, expected, rtol=2e-7)
    kept = np.arange(x.size) % 3 != 0
    np.testing.assert_array_equal(alone[kept].view(np.uint32), beside[kept].view(np.uint32))


def test_the_gradient_of_a_square_asks_for_no_power():
    x = rv.tensor([1.5, -2.0, 0.0], requires_grad=True)

    @rv.capture
    def step():
        x.grad = None
        (x**2).sum().backward()
        return x.grad

    for _ in range(3):
        assert step().tolist() == [3.0, -4.0, 0.0]
    assert str(step.program).count("power") <= 1


def test_powers_of_integers():
    x = rv.tensor([2, -3])
    assert (x**3).tolist() == [8, -27]
    assert (x**-1.0).tolist() == pytest.approx([0.5, -1 / 3])
    assert (2.0**x).tolist() == [4.0, 0.125]
    with pytest.raises(ValueError, match="expected no negative power of integers, got exponent -3"):
        2**x


def test_roots_of_the_whole_range():
    x = np.geomspace(1e-37, 1e37, 1001).astype(np.float32)
    for degree in (3, 5, 7, 10):
        y = host(F.root(rv.tensor(x), degree))
        np.testing.assert_allclose(y, x.astype(np.float64) ** (1 / degree), rtol=4e-7)
    special = F.root(rv.tensor([0.0, np.inf, -np.inf, np.nan, -8.0]), 3)
    np.testing.assert_allclose(host(special), [0.0, np.inf, -np.inf, np.nan, -2.0], rtol=1e-6)
    assert np.isnan(F.root(rv.tensor(-4.0), 2).item())


def test_logarithm_of_any_base_by_its_parts():
    x = rv.tensor([3.0, 9.0], requires_grad=True)
    b = rv.tensor(3.0, requires_grad=True)
    F.log_base(x, b).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 1 / (np.array([3.0, 9.0]) * np.log(3)), rtol=1e-6)
    np.testing.assert_allclose(b.grad.item(), -3 / (3 * np.log(3)), rtol=1e-6)


def test_ties_go_to_the_first():
    for op in (F.maximum, F.minimum):
        a, b = rv.ones(2, requires_grad=True), rv.ones(2, requires_grad=True)
        op(a, b).backward(rv.tensor([2.0, 3.0]))
        assert a.grad.tolist() == [2.0, 3.0]
        assert b.grad.tolist() == [0.0, 0.0]


def test_operators_are_the_functions():
    a, b = rv.tensor([3.0, -2.0]), rv.tensor([2.0, 4.0])
    for op, name in [
        (lambda x, y: x + y, "add"),
        (lambda x, y: x - y, "subtract"),
        (lambda x, y: x * y, "multiply"),
        (lambda x, y: x / y, "divide"),
        (lambda x, y: x**y, "power"),
    ]:
        expected = ref.binary(a.numpy(), b.numpy(), name=name)
        np.testing.assert_allclose(op(a, b).numpy(), expected, rtol=1e-6)
        if name != "power":
            expected = ref.binary(np.float32(2.0), b.numpy(), name=name)
            np.testing.assert_allclose(op(2.0, b).numpy(), expected, rtol=1e-6)
            expected = ref.binary(a.numpy(), np.float32(2.0), name=name)
            np.testing.assert_allclose(op(a, 2.0).numpy(), expected, rtol=1e-6)


def test_the_result_keeps_the_layout_of_the_first():
    x = rv.from_numpy(np.moveaxis(np.ones((2, 4, 5, 3), np.float32), -1, 1))
    for y in (x + x, x + 1.0, x * rv.ones(3, 1, 1), x + rv.ones(2, 3, 4, 5)):
        assert y.strides == x.strides
