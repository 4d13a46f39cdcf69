"""Reading and writing by index: views for slices, copies for arrays, as NumPy does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ranvier as rv
from ranvier.reference import index as ref
from tests.harness import Case, Input, N, OpTests, Raises, check, host, normal

pytestmark = pytest.mark.kernels


def ours(key: object) -> object:
    """A key in which NumPy arrays have become tensors."""
    if isinstance(key, tuple):
        return tuple(map(ours, key))
    return rv.tensor(key) if isinstance(key, np.ndarray) else key


def take(x: rv.Tensor, *, key: object) -> rv.Tensor:
    return x[key]


def case(x: Input, key: object, name: str, **settings: object) -> Case:
    tensors = ours(key)
    return Case(
        lambda x: x[tensors], lambda x: ref.index(x, key=key), x,
        backward=lambda grad, x: ref.index_backward(grad, x, key=key),
        grad_n=8, name=name, **settings,
    )  # fmt: skip


ROWS = np.array([3, 0, 3, -1])
MASK = np.array([True, False, True, True, False])


class TestIndex(OpTests):
    cases = [
        case(normal(N, 5), (slice(None), 2), "integer"),
        case(normal(N, 5), (slice(None), -1), "negative integer"),
        case(normal(4, 5), slice(1, 3), "slice"),
        case(normal(4, 5), (slice(None, None, 2), slice(None, None, -1)), "steps"),
        case(normal(4, 5), (None, 1, None, ...), "new axes"),
        case(normal(2, 3, 4, 5), (..., 0), "ellipsis"),
        case(normal(4, 5), slice(2, 2), "nothing"),
        case(normal(4, 5), (1, 2), "one element"),
        case(normal(4, 5), ROWS, "rows, one of them twice"),
        case(normal(4, 5), (ROWS, np.array([0, 1, 2, 3])), "pairs"),
        case(normal(4, 5), (slice(None), ROWS), "columns"),
        case(normal(4, 5), (slice(1, 3), np.array([[0, 1], [4, 4]])), "slice and table"),
        case(normal(5, 3), MASK, "mask", capture=False),
        case(normal(4, 5), np.arange(20).reshape(4, 5) % 3 == 0, "mask of all", capture=False),
        case(
            normal(40_000),
            np.arange(40_000) * 7 % 11 < 5,
            "mask for several threads",
            capture=False,
        ),
        case(normal(4, 5), np.array([], np.int64), "no rows"),
        case(normal(50, 2), np.arange(40_000) * 7 % 50, "many rows, for several threads"),
        case(normal(50, 130), np.arange(600) * 7 % 50, "wide rows, for several threads"),
    ]
    errors = [
        Raises(
            IndexError, r"\[index\] expected .*-3.*2.*got 3", take, normal(3), options={"key": 3}
        ),
        Raises(
            IndexError, r"\[index\] expected at most 1", take, normal(3), options={"key": (0, 0)}
        ),
        Raises(
            IndexError, r"\[index\] expected", take, normal(3), options={"key": ROWS}, meta=False
        ),
        Raises(IndexError, r"\[index\] expected", take, normal(3), options={"key": MASK}),
        Raises(
            (IndexError, TypeError), r"\[index\] expected", take, normal(3), options={"key": 1.5}
        ),
        Raises(
            (IndexError, TypeError), r"\[index\] expected", take, normal(3), options={"key": "a"}
        ),
    ]


@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=4, max_side=5))
def test_any_basic_index(data, shape):
    key = data.draw(hnp.basic_indices(shape, allow_newaxis=True, max_dims=6))
    check(case(normal(*shape), key, f"{shape}{key}"))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_gradients_of_half_precision_are_added_in_float32(dtype):
    x = rv.ones(6, dtype=dtype, requires_grad=True)
    x[rv.tensor([0, 1, 1])].float().sum().backward()
    assert x.grad.dtype.name == dtype
    assert x.grad.float().tolist() == [1.0, 2.0, 0.0, 0.0, 0.0, 0.0]


def test_a_slice_is_a_view_and_an_array_is_a_copy():
    x = rv.zeros(4, 3)
    view, copy = x[1:3], x[rv.tensor([1, 2])]
    x[1] = 7.0
    assert view.tolist() == [[7.0] * 3, [0.0] * 3]
    assert copy.tolist() == [[0.0] * 3, [0.0] * 3]


@pytest.mark.parametrize(
    "key",
    [1, slice(1, 3), (slice(None), -1), (..., slice(None, None, 2)), ROWS, (ROWS, slice(None)),
     np.arange(20).reshape(4, 5) % 3 == 0],
    ids=str,
)  # fmt: skip
def test_writing_is_numpys(key):
    expected = np.arange(20, dtype=np.float32).reshape(4, 5)
    x = rv.tensor(expected)
    expected[key] = -1.0
    x[rv.tensor(key) if isinstance(key, np.ndarray) else key] = -1.0
    np.testing.assert_array_equal(host(x), expected)


def test_writing_broadcasts_and_converts():
    x = rv.zeros(2, 3)
    x[:, 1:] = rv.tensor([[5], [6]])
    assert x.tolist() == [[0.0, 5.0, 5.0], [0.0, 6.0, 6.0]]
    x[0] = np.array([1.0, 2.0, 3.0])
    assert x[0].tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="expected"):
        x[0] = rv.ones(4)


def test_writing_into_history_is_refused():
    x = rv.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="no_grad"):
        x[0] = 2.0
    y = x * 2.0
    with pytest.raises(RuntimeError, match="history"):
        y[0] = 2.0
    with rv.no_grad():
        x[0] = 2.0
    assert x.tolist() == [2.0, 1.0, 1.0]


def test_writing_into_a_saved_value_is_noticed():
    x, w = rv.ones(3, requires_grad=True), rv.ones(3)
    y = (x * w).sum()
    w[1] = 5.0
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


@pytest.mark.parametrize("truth", [True, False])
def test_a_mask_without_axes(truth):
    """It stands for a new axis, which it keeps or empties."""
    for a in (np.float32(3.0), np.arange(6, dtype=np.float32).reshape(2, 3)):
        x = rv.tensor(a, requires_grad=True)
        y = x[rv.tensor(truth)]
        assert y.tolist() == np.asarray(a)[np.bool_(truth)].tolist()
        y.sum().backward()
        assert (x.grad.numpy() == float(truth)).all()
    x = rv.tensor(np.arange(6).reshape(2, 3))
    b = x.numpy().copy()
    assert x[1, rv.tensor(truth)].tolist() == b[1, np.bool_(truth)].tolist()
    x[rv.tensor(truth)] = rv.tensor([7, 8, 9])
    b[np.bool_(truth)] = [7, 8, 9]
    assert x.tolist() == b.tolist()


@pytest.mark.parametrize("dtype", ["bool", "bfloat16", "int32", "float32", "float64"])
@pytest.mark.parametrize("row", [(), (3,), (2, 40)], ids=str)
@pytest.mark.parametrize("share", [0.0, 0.003, 0.5, 1.0])
def test_masks_of_several_pieces(dtype, row, share):
    """Some pieces have no true place, some nothing else; elements, words and long rows."""
    n = 300_000 // max(1, int(np.prod(row)))
    numbers = np.arange(n * int(np.prod(row)), dtype=np.float64).reshape(n, *row) % 251
    x = rv.tensor(numbers).to(dtype)
    mask = np.random.default_rng(0).random(n) < share
    mask[n // 3 : n // 2] = share > 0.5
    floats = x.dtype.is_floating_point
    x.requires_grad = floats
    y = x[rv.tensor(mask)]
    whole = x.detach().double().numpy()
    np.testing.assert_array_equal(y.detach().double().numpy(), whole[mask])
    if floats:
        y.backward(rv.tensor(2 * whole[mask] + 1).to(dtype))
        expected = np.where(mask.reshape(n, *[1] * len(row)), 2 * whole + 1, 0)
        expected = rv.tensor(expected).to(dtype).double().numpy()
        np.testing.assert_array_equal(x.grad.double().numpy(), expected)


def test_a_mask_may_change_before_the_backward_pass():
    x = rv.tensor([1.0, 2.0, 3.0], requires_grad=True)
    mask = rv.tensor([True, False, True])
    y = x[mask]
    mask[0] = False
    mask[1] = True
    y.backward(rv.tensor([5.0, 7.0]))
    assert x.grad.tolist() == [5.0, 0.0, 7.0]


@pytest.mark.parametrize("shape", [(), (70_000,), (300, 400), (7, 1, 90, 110)], ids=str)
def test_places_that_are_not_zero(shape):
    a = np.random.default_rng(0).integers(-1, 2, shape)
    expected = np.stack(np.nonzero(a), 1) if shape else np.zeros((int(a != 0), 0))
    np.testing.assert_array_equal(rv.tensor(a).nonzero().numpy(), expected)


@pytest.mark.parametrize("kind", ["int32", "int64"])
def test_many_single_elements(kind):
    """More than one block of places, and several arrays of indices, one of them broadcast."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((60, 50))
    i, j = rng.integers(-60, 60, (30, 40)), rng.integers(-50, 50, 40)
    x = rv.tensor(a, requires_grad=True)
    y = x[rv.tensor(i).to(kind), rv.tensor(j).to(kind)]
    np.testing.assert_array_equal(y.detach().numpy(), a[i, j])
    y.backward(rv.tensor(a.ravel()[:1200].reshape(30, 40)))
    expected = np.zeros_like(a)
    np.add.at(expected, (i, np.broadcast_to(j, i.shape)), a.ravel()[:1200].reshape(30, 40))
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12)


def test_iteration_gives_rows():
    assert [row.tolist() for row in rv.tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
