"""Reductions: sums, means, variances, extremes, positions, truth; along any axes, of any layout."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import reduce as ref
from tests.harness import (
    Case,
    Input,
    N,
    OpTests,
    Raises,
    booleans,
    check,
    distinct,
    host,
    integers,
    nonzero,
    normal,
)

pytestmark = pytest.mark.kernels

DIMS = [None, 0, -1, (0, 2), (1, -1)]


def case(name: str, x: Input, **options: object) -> Case:
    """One reduction of n elements; sums and means are held to the bound of a sum in any order."""
    n = ref._count(np.empty(x.shape), options.get("dim"))
    settings = {
        "sum": {"multilinear": True},
        "mean": {"multilinear": True, "n": max(n, 1), "grad_n": 2},
        "var": {"n": n, "grad_n": n},
        "std": {"n": n, "grad_n": n},
        "prod": {"n": n, "grad_n": n},
    }
    dtypes = ("float32", "float64") if x.gradient else (x.dtype,)
    return Case(
        getattr(F, name), getattr(ref, name), x, options=options, dtypes=dtypes,
        **settings.get(name, {}),
    )  # fmt: skip


class TestReduce(OpTests):
    cases = [
        *(case("sum", normal(N, 4, 5), dim=dim, keepdim=keep) for dim in DIMS for keep in (0, 1)),
        *(case("sum", normal(*shape)) for shape in [(), (1,), (0,), (257,), (2, 3, 6, 7)]),
        *(case(name, normal(3, 4, 5), dim=dim) for name in ("mean", "var", "std") for dim in DIMS),
        case("mean", normal(N, 4, 5), dim=(1, 2), keepdim=True),
        case("var", normal(N, 9), dim=1, keepdim=True),
        case("var", normal(N, 9), dim=1, correction=0),
        *(case(name, distinct(3, 4, 5), dim=dim) for name in ("amax", "amin") for dim in DIMS),
        *(case(name, distinct(3, 4)) for name in ("max", "min")),
        *(case(name, distinct(N, 5, 4), dim=1) for name in ("max", "min")),
        *(case(name, distinct(N, 9), dim=1, keepdim=True)
          for name in ("max", "min", "amax", "amin")),
        *(case(f"arg{name}", distinct(3, 4, 5), dim=dim)
          for name in ("max", "min") for dim in (None, 0, 1, -1)),
        *(case("prod", x, dim=1) for x in (nonzero(N, 5), nonzero(900, 40))),
        *(case(name, booleans(N, 4), dim=1) for name in ("any", "all")),
        *(case(name, distinct(N, 5), dim=1) for name in ("argmax", "argmin")),
        case("std", normal(N, 5), dim=1),
        *(case(name, booleans(3, 4, 5), dim=dim) for name in ("any", "all") for dim in DIMS),
        *(case(name, integers(-9, 9, 3, 4, 5), dim=dim)
          for name in ("sum", "amax", "amin", "argmax") for dim in (None, 0, -1)),
        case("sum", booleans(N, 9), dim=1),
        # large enough to be split among threads, along either axis and both
        *(case("sum", normal(513, 1031), dim=dim) for dim in (None, 0, 1)),
        *(case(name, normal(67, 2053), dim=1) for name in ("mean", "var")),
        # pieces of whole runs, several and one to a piece
        *(case(name, normal(*shape), dim=(0, 2, 3)) for name in ("sum", "var")
          for shape in ((17, 5, 31, 33), (65, 2, 40, 40))),
        case("amax", distinct(17, 5, 31, 33), dim=(0, 2, 3)),
        *(case(name, distinct(67, 2053), dim=dim)
          for name in ("amax", "argmin") for dim in (None, 0, 1)),
    ]  # fmt: skip
    errors = [
        Raises(IndexError, r"\[sum\] expected .*-2.*1.*got 2", F.sum, normal(2, 3),
               options={"dim": 2}),
        Raises(ValueError, r"\[sum\] expected .*(twice|once)", F.sum, normal(2, 3),
               options={"dim": (0, -2)}),
        *(Raises(ValueError, rf"\[{name}\] expected at least one", getattr(F, name), normal(2, 0),
                 options={"dim": 1})
          for name in ("max", "min", "amax", "amin", "argmax", "argmin")),
        Raises(TypeError, r"\[max\] expected one axis, got \(0, 1\) - amax", F.max, normal(2, 3),
               options={"dim": (0, 1)}),
        *(Raises(TypeError, rf"\[{name}\] expected an axis, got False - write unbiased=False",
                 getattr(F, name), normal(2, 3), options={"dim": False})
          for name in ("var", "std")),
        Raises(TypeError, r"\[mean\] expected .*float", F.mean, integers(0, 9, 3)),
    ]  # fmt: skip


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.data())
def test_any_axes(shape, data):
    axes = st.sets(st.integers(0, len(shape) - 1), min_size=1).map(sorted).map(tuple)
    dim, keepdim = data.draw(st.none() | axes), data.draw(st.booleans())
    check(case("sum", normal(*shape), dim=dim, keepdim=keepdim))
    check(case("amax", distinct(*shape), dim=dim, keepdim=keepdim))


@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("keepdim", [False, True])
def test_extremes_with_their_positions(name, keepdim):
    """As in PyTorch, for `_, predicted = scores.max(1)`: of two rows it once took the second."""
    x = rv.tensor(np.random.default_rng(0).normal(size=(3, 4, 5)), requires_grad=True)
    values, places = found = getattr(F, name)(x, 1, keepdim)
    assert found.values is values
    assert found.indices is places
    np.testing.assert_array_equal(host(places), host(getattr(F, f"arg{name}")(x, 1, keepdim)))
    np.testing.assert_array_equal(host(values), host(getattr(F, f"a{name}")(x, 1, keepdim)))
    values.sum().backward()
    assert x.grad.sum().item() == 15.0


def test_the_position_of_an_extreme_is_looked_for_once():
    x = rv.tensor(np.random.default_rng(0).normal(size=(3, 4, 5)), requires_grad=True)

    @rv.capture
    def step():
        x.grad = None
        values, places = x.max(1)
        values.sum().backward()
        return places

    for _ in range(3):
        step()
    assert str(step.program).count("reduce") == 3  # the values, their positions, the sum


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("dim", [0, (0, 2), None])
def test_the_gradient_of_an_extreme_is_zero_elsewhere_in_any_layout(axes, dim):
    """Large enough for memory to be cleared in pieces; once every element was found by division."""
    values = np.random.default_rng(0).permutation(60_000).reshape(40, 30, 50).astype(np.float32)
    x = rv.tensor(values, requires_grad=True)
    F.amax(x.permute(axes), dim).sum().backward()
    turned = values.transpose(axes)
    largest = turned == turned.max(axis=dim, keepdims=True)
    np.testing.assert_array_equal(host(x.grad).transpose(axes), largest)


def test_extremes_of_two_tensors():
    a, b = rv.tensor([1.0, 5.0]), rv.tensor([2.0, 3.0])
    assert rv.max(a, b).tolist() == [2.0, 5.0]
    assert rv.min(a, b).tolist() == [1.0, 3.0]


def test_the_older_names_of_the_correction():
    x = rv.tensor([1.0, 2.0, 6.0])
    assert x.var(unbiased=False).item() == x.var(correction=0).item() != x.var(unbiased=True).item()
    assert x.std(0, unbiased=True).item() == x.std(0).item()
    with pytest.raises(TypeError, match="positional"):  # PyTorch's third one is not keepdim
        F.std(x, 0, False)


def test_ties_go_to_the_first():
    x = rv.tensor([[1.0, 3.0], [3.0, 3.0]], requires_grad=True)
    assert F.argmax(x).item() == 1
    assert F.argmin(x * 0.0).item() == 0
    F.max(x).backward()
    assert x.grad.tolist() == [[0.0, 1.0], [0.0, 0.0]]


def test_ties_go_by_the_logical_index_in_any_layout():
    a = np.zeros((4, 5), np.float32)
    for view in (a, np.asfortranarray(a), np.flip(a.copy())):
        assert F.argmax(rv.from_numpy(view)).item() == 0
    x = rv.from_numpy(np.asfortranarray(a)).requires_grad_()
    F.min(x).backward()
    assert np.flatnonzero(x.grad.numpy()).tolist() == [0]


def test_nan_wins():
    x = rv.tensor([[1.0, np.nan, 5.0, np.nan], [np.nan, 2.0, 9.0, 1.0]])
    for name in ("max", "min"):
        assert np.isnan(host(getattr(F, f"a{name}")(x, dim=1))).all()
        assert host(getattr(F, f"arg{name}")(x, dim=1)).tolist() == [1, 0]
        assert np.isnan(getattr(F, name)(x).item())
    for name in ("sum", "mean", "var"):
        assert np.isnan(getattr(F, name)(x).item())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("length", [63, 64, 100, 1024, 1025, 3000])
def test_positions_in_long_rows(length, dtype):
    """Rows are looked through in blocks and by vectors: ties and NaN anywhere in them."""
    rng = np.random.default_rng(length)
    x = np.round(rng.standard_normal((60, length)), 2).astype(dtype)
    x[20:40, rng.integers(0, length, 20)] = np.nan
    x[40] = -np.inf
    x[41] = np.inf
    assert host(F.argmax(rv.tensor(x), 1)).tolist() == np.argmax(x, 1).tolist()
    assert host(F.argmin(rv.tensor(x), 1)).tolist() == np.argmin(x, 1).tolist()


def test_infinities_are_numbers():
    x = rv.tensor([-np.inf, -np.inf])
    assert F.max(x).item() == -np.inf
    assert F.argmax(x).item() == 0
    assert F.sum(rv.tensor([np.inf, 1.0])).item() == np.inf


def test_no_elements():
    empty = rv.zeros(0, 3)
    assert host(F.sum(empty, dim=0)).tolist() == [0.0, 0.0, 0.0]
    assert host(F.sum(empty)).item() == 0.0
    assert np.isnan(host(F.mean(empty, dim=0))).all()
    assert host(F.sum(empty, dim=1)).shape == (0,)
    assert host(F.amax(empty, dim=1)).shape == (0,)


def test_the_mean_of_many_equal_numbers_is_exact():
    assert F.mean(rv.full((3, 1_000_003), 0.1)).item() == pytest.approx(np.float32(0.1), rel=1e-6)


def test_a_variance_far_from_zero_does_not_cancel():
    rng = np.random.default_rng(0)
    x = (1e4 + rng.standard_normal((8, 4096))).astype(np.float32)
    expected = ref.var(x.astype(np.float64), dim=1)
    np.testing.assert_allclose(host(F.var(rv.tensor(x), dim=1)), expected, rtol=1e-5)


def test_whole_numbers_sum_exactly_in_int64():
    x = rv.full((1000, 1000), 200, dtype="uint8")
    total = F.sum(x)
    assert total.dtype == rv.int64
    assert total.item() == 200_000_000
    assert F.sum(rv.ones(5, dtype="bool")).item() == 5
    assert F.sum(rv.tensor([2**62, 2**61, 1])).item() == 2**62 + 2**61 + 1


def test_methods_are_the_functions():
    x = rv.tensor([[1.0, 5.0], [2.0, -3.0]])
    assert x.sum().item() == 5.0
    assert x.mean(0).tolist() == [1.5, 1.0]
    assert x.max().item() == 5.0
    assert x.argmin().item() == 3
    assert x.sum(dim=1, keepdim=True).shape == (2, 1)
    assert (x > 0).any().item() is True
    assert (x > 0).all().item() is False
