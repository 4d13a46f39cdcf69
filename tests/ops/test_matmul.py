"""Matrix products: shapes, batches, the paths that the shape selects, integers, special values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F
from ranvier.reference import matmul as ref
from tests.harness import Case, N, OpTests, Raises, check, host, integers, normal, threads

pytestmark = pytest.mark.kernels


def case(a, b, **settings):
    return Case(F.matmul, ref.matmul, a, b, multilinear=True, **settings)


class TestMatmul(OpTests):
    cases = [
        case(normal(N, 3), normal(3, 5)),
        case(normal(N, 17), normal(17, 70)),  # more than one panel, a part of a vector
        case(normal(N, 2, 3), normal(3, 4)),  # one right operand for the batch
        case(normal(N, 2, 3), normal(N, 3, 4)),
        case(normal(2, 1, 3, 4), normal(5, 4, 2)),
        case(normal(2, 3), normal(4, 3, 5)),
        case(normal(4), normal(4)),
        case(normal(4), normal(4, 3)),
        case(normal(N, 4), normal(4)),
        case(normal(4), normal(2, 3, 4, 5)),
        case(normal(2, 3, 4, 5), normal(5)),
        case(normal(3, 1), normal(1, 4)),
        case(normal(3, 0), normal(0, 4)),
        case(normal(130, 67), normal(67, 129)),  # cut among threads by rows
        case(normal(31, 70), normal(70, 256)),  # and by columns
        case(normal(90, 1300), normal(1300, 270)),  # in unequal shares, and two blocks of k
        case(normal(7, 1300), normal(1300, 40)),  # more than one block of k
        case(normal(30, 130), normal(130, 258)),  # last columns that run over k
        case(normal(20, 130), normal(130, 2)),  # nothing but such columns
        case(normal(3, 300), normal(300, 700)),  # thin
        case(normal(1, 300), normal(300, 1000)),  # one row, in runs of k
        case(normal(9, 8, 33), normal(9, 33, 20)),  # a batch dealt out to threads
        *(
            case(integers(-9, 9, N, 4, 3), integers(-9, 9, 3, 5), dtypes=(dtype,))
            for dtype in ("int32", "int64")
        ),
    ]
    errors = [
        Raises(
            ValueError, r"\[matmul\] .*\(2, 3\) and \(2, 3\)", F.matmul, normal(2, 3), normal(2, 3)
        ),
        Raises(ValueError, r"\[matmul\] .*at least one axis", F.matmul, normal(), normal(3)),
        Raises(ValueError, r"\[matmul\]", F.matmul, normal(2, 4, 3), normal(5, 3, 4)),
        Raises(TypeError, r"\[matmul\] expected two tensors, got float", F.matmul, normal(3), 2.0),
    ]


DIMENSIONS = st.sampled_from([1, 2, 3, 4, 5, 8, 12, 13, 16, 17, 31, 33, 47, 64, 65, 100, 129])
LAYOUTS = ["rows", "columns", "wide rows", "wide columns", "steps"]


def laid_out(rng, rows, columns, dtype, layout):
    """A random matrix that lies in memory in one of the ways that the kernel tells apart."""
    if layout == "rows":
        return rng.standard_normal((rows, columns)).astype(dtype)
    if layout == "columns":
        return rng.standard_normal((columns, rows)).astype(dtype).T
    if layout == "wide rows":
        return rng.standard_normal((rows, columns + 5)).astype(dtype)[:, 2 : 2 + columns]
    if layout == "wide columns":
        return rng.standard_normal((columns, rows + 3)).astype(dtype)[:, 1 : 1 + rows].T
    return rng.standard_normal((2 * rows, 3 * columns)).astype(dtype)[::2, ::-3]


def assert_product(m, n, k, dtype, left, right):
    rng = np.random.default_rng([m, n, k])
    a, b = laid_out(rng, m, k, dtype, left), laid_out(rng, k, n, dtype, right)
    exact = a.astype(np.longdouble) @ b.astype(np.longdouble)
    bound = np.finfo(dtype).eps * (k + 1) * (np.abs(a.astype(float)) @ np.abs(b.astype(float)))
    results = []
    for count in (1, 2):
        with threads(count):
            results.append(host(rv.from_numpy(a) @ rv.from_numpy(b)))
    assert results[0].tobytes() == results[1].tobytes()
    assert (np.abs(results[0] - exact) <= bound).all()


@given(
    DIMENSIONS,
    DIMENSIONS,
    DIMENSIONS,
    st.sampled_from(["float32", "float64"]),
    st.sampled_from(LAYOUTS),
    st.sampled_from(LAYOUTS),
)
def test_any_shape_and_layout(m, n, k, dtype, left, right):
    assert_product(m, n, k, dtype, left, right)


@pytest.mark.parametrize(
    ("m", "n", "k"),
    [
        (300, 70, 520),
        (1, 3000, 500),
        (2000, 1, 70),
        (300, 64, 600),
        (16, 100, 999),
        (257, 320, 65),
        (130, 1030, 70),
        (4200, 30, 40),
        (1100, 260, 20),
        (70, 259, 1400),  # three last columns, two blocks of k
        (1200, 50, 1300),
        (500, 3, 300),
        (150, 272, 300),  # pieces that begin and end within a panel; a vector left over
        (101, 321, 1400),  # the same with a last column, two blocks of k
        (64, 184, 90),
        (333, 500, 260),
        (130, 255, 200),  # the last panel, a part of a vector short, is packed by its first tile
        (75, 257, 257),  # a last column in pieces of rows
        (20, 578, 300),  # two, of fewer pieces than shares
        (130, 80, 1400),  # rows of B near enough to be read as they lie, but for a part of a vector
        (40, 1027, 300),  # few rows of A: panels of whole vectors are read as they lie
        (32, 1024, 256),  # the same, 4 KB apart
    ],
)
@pytest.mark.parametrize("left", ["rows", "columns", "steps"])
@pytest.mark.parametrize("right", ["rows", "columns"])
def test_large_products(m, n, k, left, right):
    assert_product(m, n, k, "float32", left, right)


@given(
    st.integers(0, 3), st.integers(0, 3), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)
)
def test_any_batch(a_axes, b_axes, m, n, k):
    batch = (2, 1, 3)
    check(case(normal(*batch[3 - a_axes :], m, k), normal(*batch[3 - b_axes :], k, n)))


@pytest.mark.parametrize("shape", [(1, 40), (20, 40)])
def test_not_a_number_and_infinity_stay_in_their_row_and_column(shape):
    m, k = shape
    a, b = np.ones((m, k), np.float32), np.ones((k, 30), np.float32)
    a[0, 3], b[7, 29] = np.inf, np.nan
    y = host(rv.from_numpy(a) @ rv.from_numpy(b))
    expected = np.full((m, 30), float(k), np.float32)
    expected[0], expected[:, 29] = np.inf, np.nan
    np.testing.assert_array_equal(y, expected)


def test_integers_wrap():
    a = rv.tensor(np.array([[2**40, 3]], np.int64))
    b = rv.tensor(np.array([[2**40], [5]], np.int64))
    assert (a @ b).item() == 15
    assert (
        rv.tensor([[1, 2]], dtype=rv.uint8) @ rv.tensor([[200], [100]], dtype=rv.uint8)
    ).item() == 144


def test_dtypes_promote_and_gradients_go_back():
    a = rv.tensor([[1.0, 2.0]], requires_grad=True)
    b = rv.tensor(np.array([[3.0], [4.0]]), requires_grad=True)
    y = a @ b
    assert y.dtype == rv.float64
    y.backward()
    assert a.grad.dtype == rv.float32
    assert b.grad.dtype == rv.float64
    assert a.grad.tolist() == [[3.0, 4.0]]


def test_what_has_no_product():
    with pytest.raises(TypeError, match=r"\[matmul\] expected numbers, got bool"):
        rv.tensor([[True]]) @ rv.tensor([[True]])
    with pytest.raises(TypeError, match=r"\[matmul\] expected two tensors, got list"):
        [[1.0]] @ rv.ones(1, 1)


def test_half_precision_is_computed_in_float32_and_rounded_once():
    rng = np.random.default_rng(0)
    for dtype in (rv.bfloat16, rv.float16):
        a = rv.tensor(rng.standard_normal((5, 40)).astype(np.float32)).to(dtype)
        b = rv.tensor(rng.standard_normal((40, 6)).astype(np.float32)).to(dtype)
        a.requires_grad = b.requires_grad = True
        y, wide = a @ b, a.detach().to(rv.float32) @ b.detach().to(rv.float32)
        assert y.dtype == dtype
        assert y.to(rv.float32).tolist() == wide.to(dtype).to(rv.float32).tolist()
        y.backward(rv.ones(5, 6).to(dtype))
        assert a.grad.dtype == b.grad.dtype == dtype
        expected = a.detach().to(rv.float32).T @ rv.ones(5, 6)
        assert b.grad.to(rv.float32).tolist() == expected.to(dtype).to(rv.float32).tolist()


def test_only_wanted_gradients_are_kept():
    x, w = rv.ones(2, 3), rv.ones(3, 4, requires_grad=True)
    y = x @ w
    assert y.node.saved[1] is None  # w is needed for dx alone
    y.sum().backward()
    assert x.grad is None
    assert w.grad.tolist() == [[2.0] * 4] * 3
