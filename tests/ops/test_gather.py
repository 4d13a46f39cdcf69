"""Gather and scatter along an axis: order, duplicates, adjoints, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import gather as ref
from tests.harness import (
    Case,
    Input,
    N,
    OpTests,
    Raises,
    booleans,
    check,
    distinct,
    fixed,
    host,
    integers,
    normal,
)

pytestmark = pytest.mark.kernels


def case(name: str, *args: object, **settings: object) -> Case:
    return Case(getattr(F, name), getattr(ref, name), *args, grad_n=64, **settings)


def distinct_index(*shape: int, size: int) -> Input:
    """No index twice in a lane along the last axis."""

    def draw(rng: np.random.Generator, s: tuple[int, ...]) -> np.ndarray:
        return rng.permuted(np.broadcast_to(np.arange(size), (*s[:-1], size)), axis=-1)[
            ..., : s[-1]
        ]

    return Input(shape, draw, "int64", gradient=False)


def masked(x: Input, mask: np.ndarray) -> Case:
    """The mask has values even where x has none: they tell the shape of the result."""
    ours = rv.tensor(mask)
    return Case(
        lambda x: F.masked_select(x, ours), lambda x: ref.masked_select(x, mask), x,
        backward=lambda grad, x: ref.masked_select_backward(grad, x, mask)[0],
        grad_n=16, capture=False, name=f"masked_select {x} {mask.shape}",
    )  # fmt: skip


class TestGather(OpTests):
    cases = [
        case("gather", normal(N, 7), 1, integers(0, 7, N, 4)),
        case("gather", normal(N, 7), 1, integers(-7, 7, N, 9)),
        case("gather", normal(5, 4), 0, integers(0, 5, 2, 3)),
        case("gather", normal(4, 3, 5), -2, integers(0, 3, 4, 6, 2)),
        case("gather", normal(5), 0, fixed(np.array([1, 1, 0], np.int32))),
        case("gather", normal(), 0, fixed(np.int64(0))),
        case("gather", normal(3, 4), 1, integers(0, 4, 3, 0)),
        case("gather", normal(200, 300), 1, integers(0, 300, 200, 60)),
        case("gather", integers(0, 99, 4, 5), 1, integers(0, 5, 4, 2), dtypes=("int64",)),
        case("scatter", normal(N, 7), 1, distinct_index(N, 4, size=7), normal(N, 4)),
        case("scatter", normal(N, 7), 1, integers(0, 7, N, 5), normal(N, 5)),
        case("scatter", normal(6, 3), 0, integers(-6, 6, 4, 2), normal(4, 2)),
        case("scatter", normal(N, 7), 1, integers(0, 7, N, 5), 2.5),
        case("scatter", normal(100, 90), 1, integers(0, 90, 100, 120), normal(100, 120)),
        case("scatter_add", normal(N, 7), 1, integers(0, 7, N, 5), normal(N, 5), n=8,
             multilinear=True),
        case("scatter_add", normal(6, 3), 0, integers(-6, 6, 9, 2), normal(9, 2), n=12,
             multilinear=True),
        case("scatter_add", normal(100, 30), 1, integers(0, 30, 100, 120), normal(100, 120),
             n=64, multilinear=True),
        case("scatter_add", integers(0, 9, 4, 5), 1, integers(0, 5, 4, 9), integers(0, 9, 4, 9),
             dtypes=("int64",)),
        *(case("scatter_reduce", distinct(N, 6, shift=0.25), 1, integers(0, 6, N, 9),
               distinct(N, 9, shift=0.75), reduce, n=32, options={"include_self": own})
          for reduce in ("sum", "prod", "mean", "amax", "amin") for own in (True, False)),
        case("scatter_reduce", fixed([2.0, 0.0, 0.0, 3.0]), 0, fixed([0, 0, 1, 1, 3, 3, 3]),
             fixed([0.0, 3.0, 2.0, 4.0, 0.0, 0.0, 2.0]), "prod"),
        case("scatter_reduce", distinct(100, 30), 1, integers(0, 30, 100, 120),
             distinct(100, 120, shift=0.25), "amax"),
        case("scatter_reduce", integers(-5, 5, 4, 6), 1, integers(0, 6, 4, 9),
             integers(-5, 5, 4, 9), "amin", dtypes=("int64",)),
        case("index_select", normal(N, 5, 4), 1, integers(0, 5, 3)),
        case("index_select", normal(4, 5), -1, fixed(np.array([4, 0, 4, -1]))),
        case("index_add", normal(N, 5, 4), 1, integers(0, 5, 7), normal(N, 7, 4), n=8,
             multilinear=True),
        case("index_add", normal(60, 4, 9), 1, integers(-4, 4, 50), normal(60, 50, 9), n=60,
             multilinear=True),
        case("index_add", normal(N, 4), 1, integers(0, 4, 7), normal(N, 7), n=8,
             multilinear=True),
        case("index_add", normal(5, 3), 0, fixed([4, 0, 4]), normal(3, 3), n=4,
             multilinear=True),
        case("take_along_dim", normal(4, 5), integers(0, 5, 4, 2), 1),
        case("take_along_dim", normal(4, 5), integers(0, 4, 3, 1), 0),
        case("take_along_dim", normal(4, 1), integers(0, 4, 3, 5), 0),
        case("take_along_dim", normal(4, 5), integers(0, 20, 3, 2)),
        case("one_hot", integers(0, 6, N, 4), 6),
        case("one_hot", fixed(np.int32(2)), 3),
        case("one_hot", integers(0, 3, 40_000), 3),
        masked(normal(3, 5), np.arange(15).reshape(3, 5) % 4 == 1),
        masked(normal(4, 1), np.arange(15).reshape(3, 1, 5) % 2 == 0),
    ]  # fmt: skip
    errors = [
        Raises(IndexError, r"\[gather\] expected indices from -4 to 3 on axis 1, got 4 \(index "
               r"number 2", F.gather, normal(2, 4), 1, fixed([[0, 1], [4, 0]]), meta=False),
        Raises(IndexError, r"\[scatter\] expected indices from -3 to 2 on axis 0, got -4",
               F.scatter, normal(3), 0, fixed([0, -4]), 1.0, meta=False),
        Raises(IndexError, r"\[gather\] expected", F.gather, normal(2, 4), 2, fixed([[0]])),
        Raises(ValueError, r"\[gather\] expected an index of as many axes", F.gather, normal(2, 4),
               1, fixed([0])),
        Raises(ValueError, r"\[gather\] expected an index that fits into \(2, 4\)", F.gather,
               normal(2, 4), 1, integers(0, 4, 3, 1)),
        Raises(ValueError, r"\[scatter\] expected a source of at least", F.scatter, normal(2, 4),
               1, integers(0, 4, 2, 3), normal(2, 2)),
        Raises(TypeError, r"\[gather\] expected indices of dtype", F.gather, normal(3), 0,
               normal(2)),
        Raises(TypeError, r"\[gather\] expected an index tensor, got list", F.gather, normal(3), 0,
               [1]),
        Raises(TypeError, r"\[scatter_add\] expected a tensor or a number", F.scatter_add,
               normal(3), 0, fixed([1]), "a"),
        Raises(ValueError, r"\[scatter_reduce\] expected one of sum, mean", F.scatter_reduce,
               normal(3), 0, fixed([1]), normal(1), "max"),
        Raises(TypeError, r"\[scatter_reduce\] expected floating numbers to average",
               F.scatter_reduce, integers(0, 3, 3), 0, fixed([1]), integers(0, 3, 1), "mean"),
        Raises(TypeError, r"\[scatter_reduce\] expected a tensor as src", F.scatter_reduce,
               normal(3), 0, fixed([1]), 1.0, "sum"),
        Raises(TypeError, r"\[scatter_add\] expected numbers to combine with, got bool",
               F.scatter_add, booleans(3), 0, fixed([1]), booleans(1)),
        Raises(ValueError, r"\[index_select\] expected a list", F.index_select, normal(3, 2), 0,
               fixed([[1]])),
        Raises(IndexError, r"\[index_select\] expected an axis", F.index_select, normal(3, 2), 2,
               fixed([1])),
        Raises(ValueError, r"\[index_add\] expected a source of shape \(2, 2\)", F.index_add,
               normal(3, 2), 0, fixed([1, 0]), normal(1, 2)),
        Raises(ValueError, r"\[take_along_dim\] expected as many", F.take_along_dim, normal(3, 2),
               fixed([1]), 0),
        Raises(IndexError, r"\[one_hot\] expected indices from 0 to 2 .*got -1", F.one_hot,
               fixed([0, -1]), 3, meta=False),
        Raises(ValueError, r"\[one_hot\] expected at least one class", F.one_hot, fixed([0]), 0),
        Raises(TypeError, r"\[one_hot\] expected indices of dtype", F.one_hot, normal(2), 3),
        Raises(TypeError, r"\[masked_select\] expected a bool", F.masked_select, normal(2),
               normal(2)),
        Raises(ValueError, r"\[bincount\] expected integers", F.bincount, normal(2)),
        Raises(ValueError, r"\[bincount\] expected numbers from 0 up", F.bincount, fixed([1, -1]),
               meta=False),
    ]  # fmt: skip


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_any_axis(shape, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    sizes = [data.draw(st.integers(0 if i == dim % len(shape) else 1, s + (i == dim % len(shape))))
             for i, s in enumerate(shape)]  # fmt: skip
    n = shape[dim]
    check(case("gather", normal(*shape), dim, integers(-n, n, *sizes)))
    check(case("scatter", normal(*shape), dim, integers(-n, n, *sizes), normal(*sizes)))


@given(st.integers(0, 2**32 - 1))
def test_scatter_add_is_the_adjoint_of_gather(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(4, 6)), rng.normal(size=(4, 9))
    index = rv.tensor(rng.integers(0, 6, (4, 9)))
    taken = host(F.gather(rv.tensor(x), 1, index))
    spread = host(F.scatter_add(rv.zeros(4, 6, dtype="float64"), 1, index, rv.tensor(y)))
    np.testing.assert_allclose((taken * y).sum(), (x * spread).sum(), rtol=1e-12)


@given(hnp.arrays(np.int64, hnp.array_shapes(min_dims=0, max_side=4), elements=st.integers(0, 1)))
def test_nonzero_is_argwhere(a):
    np.testing.assert_array_equal(host(F.nonzero(rv.tensor(a))), ref.nonzero(a))


def test_a_size_that_depends_on_values_needs_values():
    with pytest.raises(TypeError, match=r"\[nonzero\] expected a tensor with values"):
        F.nonzero(rv.zeros(3, device="meta"))
    x = rv.ones(3)
    step = rv.capture(lambda: F.nonzero(x))
    step()
    with pytest.raises(rv.CaptureError):
        step()


def test_nan_wins_and_whole_numbers_wrap_around():
    nan = float("nan")
    for reduce in ("amax", "amin"):
        y = F.scatter_reduce(rv.zeros(2), 0, rv.tensor([0, 0]), rv.tensor([nan, 1.0]), reduce)
        assert np.isnan(host(y)).tolist() == [True, False]
    big = rv.tensor([2**63 - 1])
    assert F.scatter_add(big, 0, rv.tensor([0]), rv.tensor([1])).item() == -(2**63)


def test_an_extreme_that_several_reach_shares_its_gradient():
    x, src = rv.ones(2, requires_grad=True), rv.ones(2, requires_grad=True)
    F.scatter_reduce(x, 0, rv.tensor([0, 0]), src, "amax").sum().backward()
    np.testing.assert_allclose(host(x.grad), [1 / 3, 1.0], rtol=1e-6)
    np.testing.assert_allclose(host(src.grad), [1 / 3, 1 / 3], rtol=1e-6)


def test_a_larger_source_is_cut():
    y = F.scatter(rv.zeros(2, 3), 1, rv.tensor([[2], [0]]), rv.tensor([[1.0, 9.0], [2.0, 9.0]]))
    assert y.tolist() == [[0.0, 0.0, 1.0], [2.0, 0.0, 0.0]]


def test_of_two_writers_the_last_wins_and_gets_the_gradient():
    src = rv.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = F.scatter(rv.zeros(2), 0, rv.tensor([1, 0, 1]), src)
    assert y.tolist() == [2.0, 3.0]
    y.sum().backward()
    assert src.grad.tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_stored_and_added_in_float32(dtype):
    x = rv.tensor([1.0, 2.0, 3.0], dtype=dtype, requires_grad=True)
    y = F.gather(x, 0, rv.tensor([2, 0, 0]))
    assert y.float().tolist() == [3.0, 1.0, 1.0]
    y.float().sum().backward()
    assert x.grad.dtype.name == dtype
    assert x.grad.float().tolist() == [2.0, 0.0, 1.0]
    many = F.scatter_add(
        rv.zeros(1, dtype=dtype), 0, rv.zeros(4096, dtype="int64"), rv.ones(4096, dtype=dtype)
    )
    assert many.float().tolist() == [4096.0]  # bfloat16 itself stops at 256


def test_devices_do_not_mix():
    x, index = rv.zeros(2), rv.tensor([0])
    for call in (
        lambda: F.scatter(x, 0, index, rv.ones(1, device="meta")),
        lambda: F.gather(x, 0, rv.zeros(1, dtype="int64", device="meta")),
    ):
        with pytest.raises(TypeError, match="device"):
            call()


@pytest.mark.parametrize("kind", ["int64", "int32"])
@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("shape", [(3, 40, 300), (700, 3, 9), (300, 1, 2), (2, 9, 1)])
def test_lanes_side_by_side(shape, dim, kind):
    """However lanes are cut into strips: each in its order, negative indices anywhere."""
    rng = np.random.default_rng(0)
    m = max(shape[dim] - 1, 1)
    x = rng.standard_normal(shape).astype(np.float32)
    places = (*shape[:dim], m, *shape[dim + 1 :])
    index = rng.integers(-shape[dim], shape[dim], places).astype(kind)
    source = rng.standard_normal(places).astype(np.float32)
    ours = [rv.tensor(a) for a in (x, index, source)]
    got = F.gather(ours[0], dim, ours[1]).numpy()
    np.testing.assert_array_equal(got, np.take_along_axis(x, index, dim))
    lanes = [np.moveaxis(a, dim, -1).reshape(-1, a.shape[dim]) for a in (x, index, source)]
    last, total = lanes[0].copy(), lanes[0].copy()
    for lane in range(len(last)):
        for i, value in zip(lanes[1][lane], lanes[2][lane], strict=True):
            last[lane, i] = value
            total[lane, i] += value
    for function, want in ((F.scatter, last), (F.scatter_add, total)):
        got = np.moveaxis(function(ours[0], dim, ours[1], ours[2]).numpy(), dim, -1)
        np.testing.assert_array_equal(got.reshape(want.shape), want)


@pytest.mark.parametrize("dim", [0, 1])
def test_an_index_outside_is_found_anywhere(dim):
    """In the middle of a large array, and named by its place in row-major order."""
    x, index = rv.zeros(90, 500), np.zeros((90, 500), np.int64)
    index[71, 333] = x.shape[dim]
    wanted = rf"expected indices from .* on axis {dim}, got {x.shape[dim]} \(index number 35833 "
    for call in (lambda i: F.gather(x, dim, i), lambda i: F.scatter_add(x, dim, i, x)):
        with pytest.raises(IndexError, match=wanted):
            call(rv.tensor(index))
        with pytest.raises(IndexError, match=wanted):
            call(rv.tensor(index.astype(np.int32)))
    index[71, 333] = -x.shape[dim] - 1
    with pytest.raises(IndexError, match="got -"):
        F.gather(x, dim, rv.tensor(index))


def test_a_scalar_has_one_place():
    x, index = rv.tensor(2.0), rv.tensor(0)
    assert F.take_along_dim(x, index, 0).item() == 2.0
    assert F.scatter(x, 0, index, rv.tensor(3.0)).item() == 3.0


def test_a_replayed_step_checks_its_indices():
    x = rv.ones(2, 3)
    step = rv.capture(lambda index: F.gather(x, 1, index))
    for _ in range(3):
        step(rv.tensor([[0], [1]]))
    with pytest.raises(IndexError, match=r"\[gather\] expected indices from -3 to 2"):
        step(rv.tensor([[0], [3]]))


def test_what_is_read_on_the_host():
    assert F.one_hot(rv.tensor([3, 1])).shape == (2, 4)
    assert F.bincount(rv.tensor([1, 1, 3])).tolist() == [0, 2, 0, 1]
    assert F.bincount(rv.tensor([0]), minlength=3).tolist() == [1, 0, 0]
    assert F.bincount(rv.tensor([], dtype="int64")).shape == (0,)
    assert F.nonzero(rv.tensor(5.0)).shape == (1, 0)
    assert F.nonzero(rv.tensor([np.nan, 0.0])).tolist() == [[0]]
    with pytest.raises(ValueError, match="num_classes"):
        F.one_hot(rv.tensor([], dtype="int64"))


def test_methods_are_the_functions():
    x, index = rv.tensor([[1.0, 2.0], [3.0, 4.0]]), rv.tensor([[1], [0]])
    assert x.gather(1, index).tolist() == [[2.0], [3.0]]
    assert x.take_along_dim(index, 1).tolist() == [[2.0], [3.0]]
    assert x.scatter(1, index, 0.0).tolist() == [[1.0, 0.0], [0.0, 4.0]]
    assert x.scatter_add(1, index, rv.ones(2, 1)).tolist() == [[1.0, 3.0], [4.0, 4.0]]
    assert x.index_select(0, rv.tensor([1])).tolist() == [[3.0, 4.0]]
    assert x.masked_select(x > 2).tolist() == [3.0, 4.0]
    assert (x > 3).nonzero().tolist() == [[1, 1]]
